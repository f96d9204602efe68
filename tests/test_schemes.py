"""int16x8 and w4a8 in files: the widths of their integers, the graph's numbers in each runtime, and what is refused before calibration."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from quantized_networks import CASES, context_of, model_of, run_file, samples, split_of
from tflite_files import reference
from torch import nn

from compress.exporters.c import C
from compress.exporters.onnx import Onnx
from compress.exporters.tflite import Tflite
from compress.lowering import kernels
from compress.lowering.nodes import operator_name
from compress.lowering.tflite import _int16
from compress.parity import compare, output_step
from compress.passes.quantize import Quantize
from compress.quantization.overrides import Override
from targets import boards
from targets.base import RunOptions
from targets.errors import ExportError, UserError
from targets.formats import tflite as tflite_format
from targets.microcontroller import native

SHAPE = (3, 9, 9)
SCHEMES = ("int16x8", "w4a8")


class Odd(nn.Module):
    """Every kind of layer with weights, each with an odd number of them, and a sum."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 3, stride=2)
        self.deep = nn.Conv2d(5, 5, 3, padding=1, groups=5)
        self.wide = nn.Conv2d(5, 5, 1, bias=False)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        x = F.relu(self.stem(x))
        return self.head((x + self.wide(F.relu6(self.deep(x)))).mean((2, 3)))


@pytest.fixture(scope="module")
def original():
    return model_of(Odd, SHAPE)


@pytest.fixture(scope="module")
def context(original):
    return context_of(original, samples(SHAPE, 64))


@pytest.fixture(scope="module")
def quantized(original, context):
    mixed = (Override(match="deep", scheme="int16x8"), Override(match="wide", scheme="w4a8"), Override(match="head", scheme="float"))
    return {
        **{scheme: Quantize(scheme=scheme)(original, context) for scheme in ("int8", *SCHEMES)},
        "mixed": Quantize(overrides=mixed)(original, context),
    }


def tensors_of(model, folder):
    artifact = Tflite()(model, folder)
    return artifact, tflite_format.load(artifact.path)


@pytest.mark.parametrize("scheme", [*SCHEMES, "mixed"])
@pytest.mark.parametrize("exporter", [Tflite(), Onnx()], ids=["tflite", "onnx"])
def test_a_file_gives_the_graphs_numbers(scheme, exporter, quantized, tmp_path):
    model, inputs = quantized[scheme], samples(SHAPE, 16, seed=1)
    outputs = run_file(exporter(model, tmp_path), inputs)
    difference = compare(model(torch.from_numpy(inputs)).numpy(), outputs, output_step(model))
    assert difference.relative_error < 0.02
    assert difference.largest_steps is None or difference.largest_steps <= 2.001


@pytest.mark.parametrize("scheme", SCHEMES)
def test_reference_kernels_agree(scheme, quantized, tmp_path):
    model, inputs = quantized[scheme], samples(SHAPE, 8, seed=1)
    artifact = Tflite()(model, tmp_path)
    options = RunOptions(warmup=0, repetitions=1, settings={"kernels": "reference"})
    (given,) = boards.target("host").run(artifact, [(artifact.inputs[0].encode(inputs),)], options).outputs
    expected = model(torch.from_numpy(inputs)).numpy()
    assert compare(expected, artifact.outputs[0].decode(given), output_step(model)).largest_steps <= 2.001


def test_int16_files_have_symmetric_activations_and_wide_biases(quantized, tmp_path):
    artifact, file = tensors_of(quantized["int16x8"], tmp_path)
    for end in (*artifact.inputs, *artifact.outputs):
        assert (end.dtype, end.zero_point) == ("int16", 0)
    for operator in file.operators:
        assert file.tensors[operator.outputs[0]].dtype == "int16"
    weighted = [operator for operator in file.operators if operator.name in {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}]
    assert {tuple(file.tensors[index].dtype for index in operator.inputs) for operator in weighted} == {("int16", "int8", "int64")}


def test_weights_of_four_bits_take_half_a_byte(quantized, tmp_path):
    narrow, wide = (tensors_of(quantized[scheme], tmp_path / scheme) for scheme in ("w4a8", "int8"))
    stored = {tensor.name: tensor for tensor in narrow[1].tensors if tensor.dtype == "int4"}
    assert sorted(tensor.elements for tensor in stored.values()) == [15, 25, 45, 135]
    assert {int(abs(tensor.data).max()) for tensor in stored.values()} == {7}
    assert wide[0].bytes - narrow[0].bytes >= sum(tensor.elements // 2 for tensor in stored.values()) - 64
    constants = quantized["w4a8"].graph.state_dict()
    (head,) = (tensor.data for tensor in stored.values() if tensor.elements == 15)
    assert np.array_equal(head, constants["head.weight"].numpy())


def test_onnx_packs_weights_too_and_has_the_opset_for_it(quantized, tmp_path):
    narrow, wide, deep = (onnx.load(Onnx()(quantized[scheme], tmp_path / scheme).path) for scheme in ("w4a8", "int8", "int16x8"))
    assert [file.opset_import[0].version for file in (narrow, wide, deep)] == [21, 20, 21]
    weights = {entry.name: entry for entry in narrow.graph.initializer if entry.data_type == onnx.TensorProto.INT4}
    assert {name: len(entry.raw_data) for name, entry in weights.items()} == {
        "stem.weight": 68, "deep.weight": 23, "wide.weight": 13, "head.weight": 8,
    }  # fmt: skip


def test_layers_of_several_schemes_meet_in_one_file(quantized, tmp_path):
    _, file = tensors_of(quantized["mixed"], tmp_path)
    made = {file.tensors[operator.outputs[0]].name: file.tensors[operator.outputs[0]].dtype for operator in file.operators}
    assert (made["stem"], made["deep"], made["wide"], made["head"]) == ("int8", "int16", "int8", "float32")
    assert "QUANTIZE" in [operator.name for operator in file.operators]
    assert [tensor.elements for tensor in file.tensors if tensor.dtype == "int4"] == [25]
    assert quantized["mixed"].history[-1].details["layers"]["deep"] == "int16x8"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_c_takes_them_too(scheme, quantized, tmp_path):
    """The C on this machine and LiteRT's reference kernels give the same bytes."""
    artifact = C()(quantized[scheme], tmp_path / "c")
    file, _ = tensors_of(quantized[scheme], tmp_path)
    (given,) = artifact.inputs
    limits = np.iinfo(given.dtype)
    sample = np.random.default_rng(0).integers(limits.min, limits.max, (3, *given.shape[1:]), endpoint=True).astype(given.dtype)
    (made,) = native.run(artifact, [(sample,)])
    for values, result in zip(sample, made, strict=True):
        np.testing.assert_array_equal(result[None], reference(file.path, [[values[None]]])[0][0])


def test_an_operator_without_a_kernel_is_named_before_calibration(tmp_path):
    model = model_of(lambda: nn.Sequential(nn.Linear(12, 4), nn.GELU()), (12,))
    context = context_of(model, samples((12,)))
    never = replace(context.data, calibration=replace(split_of(samples((12,))), load=lambda _: pytest.fail("calibrated")))
    message = r"layer '1': C has no int16x8 kernel for operator 'gelu'; choose another scheme for it with 'overrides: \[{operator: gelu"
    with pytest.raises(UserError, match="quantize: " + message):
        Quantize(scheme="int16x8")(model, replace(context, data=never, exports=("tflite", "c")))
    with pytest.raises(ExportError, match=r"GELU.*: tensor .* is int16"):
        C()(Quantize(scheme="int16x8")(model, context), tmp_path)
    cured = Quantize(scheme="int16x8", overrides=(Override(operator="gelu", scheme="int8"),))
    made = cured(model, replace(context, exports=("tflite", "onnx", "c")))
    inputs = samples((12,), 8)
    outputs = run_file(Tflite()(made, tmp_path), inputs)
    assert compare(made(torch.from_numpy(inputs)).numpy(), outputs, output_step(made)).largest_steps <= 1.001


FORMS = {
    "cat": ("CONV_2D", "CONCATENATION"),
    "hardswish": ("CONV_2D", "SUB", "MUL", "MUL"),
    "prelu": ("CONV_2D", "MUL", "ADD", "MUL", "SUB"),
    "pixel shuffle": ("CONV_2D", "RESHAPE", "TRANSPOSE", "RESHAPE"),
    "log softmax": ("FULLY_CONNECTED", "SOFTMAX", "REDUCE_MAX", "LOG", "QUANTIZE", "REDUCE_MAX", "SUB", "SUB"),
    "gelu": ("CONV_2D", "GELU"),
    "max pool padded": ("CONV_2D", "PADV2", "MAX_POOL_2D"),
}
STEPS = {"hardswish": 2, "gelu": 3}
"""Integer steps between LiteRT and the graph, where it is more than one."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in ("cat", "prelu") else pytest.mark.slow) for name in FORMS])
def test_what_has_no_int16_kernel_is_made_of_what_has(name, tmp_path):
    case = CASES[name]
    model, inputs = case.model(), case.samples(8, seed=1)
    made = Quantize(scheme="int16x8", observer="minmax")(model, context_of(model, case.samples()))
    artifact = Tflite()(made, tmp_path)
    file = tflite_format.load(artifact.path)
    assert tuple(operator.name for operator in file.operators) == FORMS[name]
    assert {file.tensors[operator.outputs[0]].dtype for operator in file.operators} == {"int16"}
    expected = made(torch.from_numpy(inputs)).numpy()
    for outputs, steps in ((run_file(artifact, inputs), STEPS.get(name, 1)), (run_file(Onnx()(made, tmp_path), inputs), 1)):
        assert compare(expected, outputs, output_step(made)).largest_steps <= steps + 0.01


class Crossed(nn.Module):
    """A sum with what was computed with two axes the other way round, as attention with `batch_first` has it."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(12, 12)

    def forward(self, x):
        crossed = self.linear(x.transpose(0, 1).reshape(-1, 12)).reshape(3, -1, 12)
        return x + crossed.transpose(0, 1)


def test_int16_sums_take_transposed_tensors(tmp_path):
    model = model_of(Crossed, (3, 12))
    made = Quantize(scheme="int16x8")(model, context_of(model, samples((3, 12))))
    inputs = samples((3, 12), 8)
    artifact = Tflite()(made, tmp_path)
    assert [operator.name for operator in tflite_format.load(artifact.path).operators][-1] == "ADD"
    assert compare(made(torch.from_numpy(inputs)).numpy(), run_file(artifact, inputs), output_step(made)).largest_steps <= 1.01


def test_full_integer_names_the_layers_that_are_not(original, context):
    rules = (Override(match="head", scheme="float"),)
    with pytest.raises(UserError, match=r"full_integer is true, but overrides leave layers in float: head; give them an integer scheme"):
        Quantize(overrides=rules, full_integer=True)(original, context)
    with pytest.raises(UserError, match=r"full_integer is true, as 'c' among the exports makes it, but .*: head; .*'full_integer: false'"):
        Quantize(overrides=rules)(original, replace(context, exports=("c",)))
    for options, exports in ((Quantize(overrides=rules), ("tflite",)), (Quantize(overrides=rules, full_integer=False), ("c",))):
        assert options(original, replace(context, exports=exports)).history[-1].details["layers"]["head"] == "float"
    with pytest.raises(UserError, match="full_integer needs one of these schemes"):
        Quantize(scheme="float16", full_integer=True)


def test_a_bias_far_larger_than_its_weights_fits():
    def build():
        linear = nn.Linear(12, 4)
        linear.weight.data[0] *= 1e-9
        linear.bias.data[0] = 3.0
        return linear

    model = model_of(build, (12,))
    for scheme in ("int8", "int16x8"):
        made = Quantize(scheme=scheme)(model, context_of(model, samples((12,))))
        inputs = torch.from_numpy(samples((12,), 8))
        torch.testing.assert_close(made(inputs)[:, 0], model(inputs)[:, 0], rtol=0, atol=0.03)


WEIGHTED = {"conv2d", "conv2d grouped", "conv2d depthwise", "linear", "flatten and linear"}
WRONG_REFERENCE = {"sum"}
"""LiteRT's reference kernel of SUM gives wrong numbers for int16; the one that runs by default is right."""
SLOW = [("int16x8", name) for name in CASES] + [("w4a8", name) for name in sorted(WEIGHTED)]


@pytest.fixture(params=SLOW, ids=" ".join)
def trial(request, tmp_path):
    """A case with a scheme: its quantized network, inputs, and a function that gives the error of its TFLite file with some kernels."""
    scheme, name = request.param
    case = CASES[name]
    model, inputs = case.model(), case.samples(8, seed=1)
    made = Quantize(scheme=scheme, observer="minmax")(model, context_of(model, case.samples()))
    expected = made(torch.from_numpy(inputs)).numpy()

    def error(used):
        artifact = Tflite()(made, tmp_path)
        options = RunOptions(warmup=0, repetitions=1, settings={"kernels": used})
        (given,) = boards.target("host").run(artifact, [(artifact.inputs[0].encode(inputs),)], options).outputs
        return compare(expected, artifact.outputs[0].decode(given)).relative_error

    return made, inputs, error


def limit(model):
    return 0.002 if any(torch.int16 in node.args for node in model.graph.graph.nodes) else 0.02


@pytest.mark.slow
def test_every_operator_of_each_scheme_is_right_or_refused(trial, tmp_path, monkeypatch):
    made, inputs, error = trial
    expected = made(torch.from_numpy(inputs)).numpy()
    assert compare(expected, run_file(Onnx()(made, tmp_path), inputs)).relative_error < limit(made)
    if kernels.refusal(_int16(made), ["tflite"]) is None:
        assert error("default") < limit(made)
        if not WRONG_REFERENCE & {operator_name(node) for node in made.graph.graph.nodes}:
            assert error("reference") < limit(made)
        return
    with pytest.raises(ExportError, match="TFLite has no int16x8 kernel for operator"):
        error("default")
    monkeypatch.setattr(kernels, "WITHOUT_INT16", {})
    try:
        outcome = error("default")
    except ExportError:
        outcome = np.inf
    assert outcome > limit(made)
