"""Every operator that quantizes: integers from end to end in the file, and the numbers of the torch graph in each runtime."""

import numpy as np
import pytest
import torch
from quantized_networks import ARITHMETIC, CASES, context_of, run_file

from compress.exporters.onnx import Onnx
from compress.exporters.tflite import Tflite
from compress.parity import compare, output_step
from compress.passes.quantize import Quantize
from targets.formats import tflite as tflite_format

QUICK = {
    *("conv2d padded as TensorFlow does", "flatten and linear", "add and relu", "cat", "mean", "softmax"),
    *("linear on one pixel", "relu that others read past", "batch norm first", "average pool", "hardsigmoid"),
    *("conv transpose", "prelu", "pixel shuffle", "pixel shuffle of a sum", "cat of softmax"),
    *("layers of one axis", "average pool that counts", "layer norm", "attention to the past", "embedding"),
}
EVERY = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES]


@pytest.fixture(scope="module")
def quantized():
    """Each network is quantized once."""
    made = {}

    def quantize(name):
        if name not in made:
            case = CASES[name]
            model = case.model()
            made[name] = model, Quantize(observer="minmax")(model, context_of(model, case.samples()))
        return made[name]

    return quantize


@pytest.mark.parametrize("name", EVERY)
def test_an_operator_is_integer_in_tflite_and_gives_the_graphs_numbers(name, quantized, tmp_path):
    _, model = quantized(name)
    inputs = CASES[name].samples(8, seed=1)
    artifact = Tflite()(model, tmp_path)
    file = tflite_format.load(artifact.path)
    assert [operator.name for operator in file.operators] == list(CASES[name].operators)
    assert not ARITHMETIC & {tensor.dtype for tensor in file.tensors}
    assert (artifact.inputs[0].dtype, artifact.outputs[0].dtype) == ("int32" if CASES[name].words else "int8", "int8")
    expected = model(torch.from_numpy(inputs)).numpy()
    difference = compare(expected, run_file(artifact, inputs), artifact.outputs[0].scale)
    assert difference.largest_steps <= 1.001


@pytest.mark.parametrize("name", EVERY)
def test_an_operator_in_onnx_gives_the_graphs_numbers(name, quantized, tmp_path):
    _, model = quantized(name)
    inputs = CASES[name].samples(8, seed=1)
    expected = model(torch.from_numpy(inputs)).numpy()
    difference = compare(expected, run_file(Onnx()(model, tmp_path), inputs), output_step(model))
    assert difference.largest_steps <= 1.001


@pytest.mark.parametrize("name", EVERY)
def test_a_quantized_operator_is_near_the_float_one(name, quantized):
    original, model = quantized(name)
    inputs = torch.from_numpy(CASES[name].samples(32))
    assert compare(original(inputs).numpy(), model(inputs).numpy()).relative_error < 0.04
    assert not np.array_equal(original(inputs).numpy(), model(inputs).numpy())
