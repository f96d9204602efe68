"""Schemes `dynamic` and `weight_only`: the files are smaller and compute what the torch graph does."""

import dataclasses
import functools

import numpy as np
import onnx
import pytest
import torch
from conftest import DATA
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from quantized_networks import Network, context_of, model_of, run_file, samples, split_of
from torch import nn

from compress import parity, store
from compress.exporters.onnx import Onnx
from compress.exporters.tflite import Tflite
from compress.parity import compare
from compress.passes.quantize import Quantize
from compress.quantization.overrides import Override
from targets.errors import UserError
from targets.formats import tflite as tflite_format

SHAPE = (32, 8, 8)
DYNAMIC, EIGHT, BLOCKS = {"scheme": "dynamic"}, {"scheme": "weight_only"}, {"scheme": "weight_only", "bits": 4, "block": 16}


class Images(nn.Module):
    """Each kind of convolution, and a linear layer behind a flattening that TFLite needs in another order."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Conv2d(32, 32, 3, padding=1)
        self.deep = nn.Conv2d(32, 32, 3, stride=2, padding=1, groups=32)
        self.up = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.head = nn.Linear(16 * 64, 5)

    def forward(self, x):
        return self.head(torch.relu(self.up(torch.relu(self.deep(torch.relu(self.wide(x)))))).flatten(1))


def sequence():
    return Network(lambda x, first, second: second(torch.relu(first(x))), nn.Linear(32, 48), nn.Linear(48, 6, bias=False))


def signal():
    return Network(lambda x, conv, linear: linear(torch.relu(conv(x)).mean(2)), nn.Conv1d(32, 16, 3), nn.Linear(16, 4))


NETWORKS = {"images": (SHAPE, Images), "sequence": ((7, 32), sequence), "signal": ((32, 12), signal)}
SCHEMES = {
    "dynamic": {"scheme": "dynamic"},
    "8 bits": {"scheme": "weight_only"},
    "4 bits": {"scheme": "weight_only", "bits": 4},
    "4 bits in blocks": {"scheme": "weight_only", "bits": 4, "block": 16},
}
CASES = [*(("images", scheme) for scheme in SCHEMES), ("sequence", "dynamic"), ("signal", "4 bits in blocks")]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The float network, the quantized one and its two files, each made once."""

    @functools.cache
    def make(name, scheme):
        shape, build = NETWORKS[name]
        model = model_of(build, shape)
        quantized = Quantize(**SCHEMES[scheme])(model, context_of(model, samples(shape)))
        folder = tmp_path_factory.mktemp("files")
        return model, quantized, [exporter(quantized, folder) for exporter in (Tflite(), Onnx())]

    return make


@pytest.fixture(scope="module")
def images():
    return model_of(Images, SHAPE)


@pytest.mark.parametrize(("name", "scheme"), CASES)
def test_both_runtimes_give_the_torch_graphs_numbers(name, scheme, exported):
    model, quantized, files = exported(name, scheme)
    inputs = samples(NETWORKS[name][0], 24)
    expected = quantized(torch.from_numpy(inputs)).numpy()
    assert 0 < compare(model(torch.from_numpy(inputs)).numpy(), expected).relative_error < (0.25 if "4 bits" in scheme else 0.03)
    for file in files:
        outputs = run_file(file, inputs).reshape(expected.shape)
        assert compare(expected, outputs).relative_error < (0.01 if scheme == "dynamic" else 1e-5)


@pytest.mark.parametrize(("scheme", "bits"), [("dynamic", 8), ("8 bits", 8), ("4 bits", 4), ("4 bits in blocks", 6)])
def test_weights_take_as_many_bits_as_they_have(scheme, bits, exported):
    model, _, files = exported("images", scheme)
    weights = sum(value.numel() for value in model.graph.state_dict().values() if value.dim() > 1)
    around = 14_000 if scheme == "dynamic" else 6_000  # operators, names, biases and scales
    for file in files:
        assert file.path.stat().st_size < weights * bits / 8 + around < weights * 4 / 2


def test_integers_are_operands_of_hybrid_kernels_or_of_dequantize(exported):
    found = {}
    for scheme in ("dynamic", "8 bits"):
        file = exported("images", scheme)[2][0]
        found[scheme] = [operator.name for operator in tflite_format.load(file.path).operators]
    assert "DEQUANTIZE" not in found["dynamic"]
    assert found["8 bits"].count("DEQUANTIZE") == 4


def test_weights_of_four_bits_are_stored_two_a_byte(exported):
    file = exported("images", "4 bits")[2][1]
    stored = {tensor.name: tensor for tensor in onnx.load(file.path).graph.initializer}
    assert stored["wide.weight"].data_type == onnx.TensorProto.INT4
    assert len(stored["wide.weight"].raw_data) == 32 * 32 * 9 // 2


def test_a_sample_rounded_as_it_comes_does_not_depend_on_its_neighbours(exported):
    file = exported("images", "dynamic")[2][1]
    inputs = samples(SHAPE, 4) * np.float32([1, 100, 0.01, 0]).reshape(4, 1, 1, 1)
    alone = np.concatenate([run_file(file, inputs[number : number + 1]) for number in range(4)])
    together = run_file(file, inputs)
    assert all(compare(alone[[number]], together[[number]]).relative_error < 1e-3 for number in range(4))


def test_no_calibration_samples_are_needed(images):
    context = context_of(images, samples(SHAPE))
    empty = dataclasses.replace(context, data=dataclasses.replace(context.data, calibration=split_of(samples(SHAPE, 0))))
    for options in (DYNAMIC, EIGHT):
        assert Quantize(**options)(images, empty).stage == "quantized"


def test_a_stored_network_comes_back_from_disk_the_same(images, tmp_path):
    inputs = torch.from_numpy(samples(SHAPE, 3))
    for number, options in enumerate((DYNAMIC, BLOCKS)):
        quantized = Quantize(**options)(images, context_of(images, samples(SHAPE)))
        store.save(quantized, tmp_path / str(number))
        assert torch.equal(store.load(tmp_path / str(number))(inputs), quantized(inputs))
        assert parity.rounds(quantized) == (options is DYNAMIC)


def test_the_step_says_what_became_of_each_layer(images):
    rules = (Override(match="wide", scheme="float"),)
    step = Quantize(**BLOCKS, overrides=rules)(images, context_of(images, samples(SHAPE))).history[-1]
    assert step.details["layers"] == {"wide": "float", "deep": "weight_only", "up": "weight_only", "head": "weight_only"}
    assert step.lines == (
        "left in float by overrides: wide",
        "weights of 3 layers to 4 bits, a scale for each block of 16 inputs",
        "a scale for each channel where 16 inputs don't divide a layer's: deep",
    )


def test_layers_left_in_float_keep_their_weights(images):
    quantized = Quantize(**DYNAMIC, overrides=(Override(operator="conv2d", scheme="float"),))(images, context_of(images, samples(SHAPE)))
    kinds = {name: value.dtype for name, value in quantized.graph.state_dict().items() if name.endswith(".weight")}
    assert kinds == {"wide.weight": torch.float32, "deep.weight": torch.float32, "up.weight": torch.int8, "head.weight": torch.int8}


def test_weights_that_others_read_are_kept_for_them():
    model = model_of(lambda: Network(lambda x, one: torch.relu(one(x)) @ one.weight, nn.Linear(8, 8)), (8,))
    quantized = Quantize(**EIGHT)(model, context_of(model, samples((8,))))
    constants = quantized.graph.state_dict()
    assert (constants["layers.0.weight"].dtype, constants["layers.0.weight_2"].dtype) == (torch.float32, torch.int8)
    assert quantized.history[-1].lines[-1] == "weights left in float: layers.0 (matmul)"
    inputs = torch.from_numpy(samples((8,)))
    assert compare(model(inputs).numpy(), quantized(inputs).numpy()).relative_error < 0.02


def test_c_sources_are_refused_before_anything_is_done(images):
    context = dataclasses.replace(context_of(images, samples(SHAPE)), exports=("tflite", "c"))
    with pytest.raises(UserError, match=r"scheme dynamic: layer 'wide': C sources compute with integers only and have no conv2d on float"):
        Quantize(**DYNAMIC)(images, context)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 4}, "'bits' and 'block' belong to scheme weight_only"),
        ({"scheme": "dynamic", "block": 32}, "'bits' and 'block' belong to scheme weight_only"),
        ({"scheme": "weight_only", "bits": 3}, "bits must be 4 or 8, not 3"),
        ({"scheme": "weight_only", "block": 1}, "block must be 2 or more"),
        ({"scheme": "weight_only", "block": 32, "weight_granularity": "tensor"}, "choose one"),
        ({"scheme": "dynamic", "overrides": (Override(match="x", scheme="int8"),)}, "can leave layers in float, not make them int8"),
    ],
)
def test_impossible_options_are_refused_when_they_are_built(options, message):
    with pytest.raises(UserError, match=message):
        Quantize(**options)


def test_a_network_without_weights_is_refused():
    model = model_of(nn.ReLU, (8,))
    with pytest.raises(UserError, match="no such layer"):
        Quantize(**EIGHT)(model, context_of(model, samples((8,))))


@given(arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 20)), elements=st.floats(-1000, 1000, width=32)))
def test_values_rounded_as_they_come_are_off_by_half_a_step_at_most(values):
    rounded = torch.ops.edgepress.round_dynamically(torch.from_numpy(values), 1).numpy()
    step = (values.max(1).clip(min=0) - values.min(1).clip(max=0)) / 255
    assert (np.abs(rounded - values) <= step[:, None] * 1.001 + 1e-6).all()
    assert (rounded[values == 0] == 0).all()


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "networks.py").exists(), reason="no trained networks in ../shared/data")
@pytest.mark.parametrize(("options", "agreement"), [(DYNAMIC, 0.985), (EIGHT, 0.99)], ids=str)
def test_a_trained_network_keeps_its_answers(options, agreement, monkeypatch):
    monkeypatch.syspath_prepend(str(DATA))
    import datasets
    import networks

    inputs = datasets.evaluation("dscnn")[0][:400]
    model = model_of(lambda: networks.load("dscnn"), inputs.shape[1:])
    quantized = Quantize(**options)(model, context_of(model, inputs))
    found = compare(model(torch.from_numpy(inputs)).numpy(), quantized(torch.from_numpy(inputs)).numpy()).agreement
    assert found >= agreement
