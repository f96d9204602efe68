"""Quantized TFLite files as sources: integers and scales stay the file's own, in torch and in what is exported again."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert.schema_py_generated import TensorType
from quantized_networks import CASES, IMAGE, context_of, model_of, run_file, samples, split_of
from torch import nn

import compress
from compress.data.base import Data
from compress.exporters.c import C
from compress.exporters.onnx import Onnx
from compress.exporters.tflite import Tflite
from compress.lowering.layout import arranged
from compress.parity import compare
from compress.passes.prune_weights import PruneWeights
from compress.passes.quantize import Quantize
from compress.pipeline import apply_one
from targets import formats
from targets.errors import UserError
from targets.formats import tflite as tflite_format
from targets.formats import tflite_objects

DATA = Path(__file__).parents[2] / "shared" / "data"


def data_of(inputs):
    split = split_of(inputs)
    return Data("random", split, split, split, "random")


def constants(path):
    """Everything with scales that a file stores: its integers, its scales, and the shape without axes of length 1."""
    tensors = [tensor for tensor in tflite_format.load(path).tensors if tensor.data is not None and tensor.quantization is not None]
    return {(tensor.data.tobytes(), tensor.quantization.scale.tobytes()) for tensor in tensors if len(tensor.quantization.scale)}


def activations(path):
    """The scales and zero points of everything that a file computes."""
    tensors = [tensor for tensor in tflite_format.load(path).tensors if tensor.data is None and tensor.quantization is not None]
    return {(float(tensor.quantization.scale[0]), int(tensor.quantization.zero_point[0])) for tensor in tensors}


def operators(path):
    return [operator.name for operator in tflite_format.load(path).operators]


def quantized_file(build, shape, folder, scheme="int8"):
    model, inputs = model_of(build, shape), samples(shape, 16)
    return Tflite()(Quantize(scheme=scheme)(model, context_of(model, inputs)), folder), inputs


def round_trip(artifact, inputs, folder, steps=1):
    """The file lifted and exported again; outputs of the lifted network within so many steps of the file's."""
    model = compress.load(artifact.path, data_of(inputs))
    assert model.stage == "quantized"
    outputs = model(torch.from_numpy(inputs)).numpy()
    expected = run_file(artifact, inputs).reshape(outputs.shape)
    assert np.abs(outputs - expected).max() <= 1.01 * steps * artifact.outputs[0].scale
    again = Tflite()(model, folder / "again")
    assert constants(again.path) == constants(artifact.path)
    assert operators(again.path) == operators(artifact.path)
    assert activations(again.path) == activations(artifact.path)
    np.testing.assert_array_equal(run_file(again, inputs), run_file(artifact, inputs))
    return model


LAYERS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}


def weights(path):
    """The weights of a file's layers, in order."""
    graph = tflite_format.load(path)
    return [graph.tensors[operator.inputs[1]] for operator in graph.operators if operator.name in LAYERS]


def channels_first(weight):
    """A layer's integers, its channels in the first axis: a convolution of one channel is a depthwise one too."""
    axis = weight.quantization.axis if weight.quantization.per_channel else 0
    return np.moveaxis(weight.data, axis, 0).reshape(weight.data.shape[axis], -1)


KEPT = (
    *("conv2d dilated", "conv2d depthwise", "conv2d strided", "conv2d padded as TensorFlow does", "linear", "flatten and linear"),
    *("add and relu", "sub", "mul", "add a number", "cat", "split", "pad", "mean", "max pool", "average pool", "nearest", "bilinear"),
    *("relu6", "leaky relu", "hardswish", "silu", "tanh", "softmax"),
)
QUICK = {"conv2d strided", "conv2d padded as TensorFlow does", "flatten and linear", "add and relu", "split"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in KEPT])
def test_a_file_comes_back_as_it_was(name, tmp_path):
    artifact, inputs = quantized_file(CASES[name].build, CASES[name].shape, tmp_path)
    round_trip(artifact, inputs, tmp_path)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU())
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        return self.head(torch.relu(x + self.body(x)).mean((2, 3)))


@pytest.mark.parametrize("scheme", ["int8", "int16x8", "w4a8"])
def test_every_width_of_integers_is_kept(scheme, tmp_path):
    artifact, inputs = quantized_file(Classifier, IMAGE, tmp_path, scheme)
    model = round_trip(artifact, inputs, tmp_path, steps=2 if scheme == "int16x8" else 1)
    assert model.free_batch
    assert model.graph.get_buffer("body.weight").dtype == torch.int8
    assert model.graph.get_buffer("head.bias").dtype == torch.int32


def test_a_quantized_source_becomes_onnx_and_c(tmp_path):
    artifact, inputs = quantized_file(Classifier, IMAGE, tmp_path)
    model = compress.load(artifact.path, data_of(inputs))
    file = Onnx()(model, tmp_path)
    assert compare(run_file(artifact, inputs), run_file(file, inputs), artifact.outputs[0].scale).largest_steps <= 2
    source = C()(model, tmp_path)
    assert [tensor.scale for tensor in source.inputs + source.outputs] == [tensor.scale for tensor in artifact.inputs + artifact.outputs]


def test_a_pass_that_wants_real_numbers_says_what_can_be_done(tmp_path):
    artifact, inputs = quantized_file(Classifier, IMAGE, tmp_path)
    model = compress.load(artifact.path, data_of(inputs))
    for name, options in (("quantize", Quantize()), ("prune_weights", PruneWeights())):
        with pytest.raises(UserError, match=rf"{name} works on a float network, but this one is quantized; .* leave 'passes' empty"):
            apply_one(name, options, model, context_of(model, inputs))


def test_integers_that_are_not_known_are_named_with_what_takes_them(tmp_path):
    artifact, inputs = quantized_file(Classifier, IMAGE, tmp_path)
    file = tflite_objects.read(artifact.path.read_bytes())
    for tensor in file.subgraphs[0].tensors:
        tensor.type = TensorType.UINT8 if tensor.type == TensorType.INT8 else tensor.type
    artifact.path.write_bytes(tflite_objects.write(file))
    with pytest.raises(UserError, match=r"holds quantized uint8; .* `edgepress compile` take this file .* it was made of$"):
        compress.load(artifact.path, data_of(inputs))


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason=f"needs the networks in {DATA}")
@pytest.mark.parametrize(("name", "network"), [("pretrainedResnet_quant", "resnet8"), ("vww_96_int8", "vww"), ("kws_ref_model", "dscnn")])
def test_the_networks_of_mlperf_tiny_keep_their_answers_and_integers(name, network, tmp_path):
    location = importlib.util.spec_from_file_location("datasets_of_trials", DATA / "datasets.py")
    datasets = importlib.util.module_from_spec(location)
    location.loader.exec_module(datasets)
    inputs = np.asarray(datasets.evaluation(network)[0][:200])
    path = DATA / "mlperf_tiny" / f"{name}.tflite"
    original = arranged(formats.read(path))
    model = compress.load(path, data_of(inputs))
    again = Tflite()(model, tmp_path)
    expected = run_file(original, inputs)
    assert compare(expected, model(torch.from_numpy(inputs)).numpy()).agreement >= 0.995
    assert compare(expected, run_file(again, inputs)).agreement >= 0.995
    assert [(tensor.scale, tensor.zero_point) for tensor in again.inputs + again.outputs] == [
        (tensor.scale, tensor.zero_point) for tensor in original.inputs + original.outputs
    ]
    for before, after in zip(weights(path), weights(again.path), strict=True):
        np.testing.assert_array_equal(before.quantization.scale, after.quantization.scale)
        np.testing.assert_array_equal(channels_first(before), channels_first(after))
