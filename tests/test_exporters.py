import os
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from quantized_networks import CASES, Network, context_of, model_of, run_file, samples
from torch import nn

from compress.exporters.c import C
from compress.exporters.onnx import Onnx
from compress.exporters.tflite import Tflite
from compress.lowering import litert, litert_direct
from compress.model import capture
from compress.parity import compare
from compress.passes.quantize import Quantize
from compress.quantization.overrides import Override
from targets.errors import ExportError, UserError
from targets.formats import tflite as tflite_format

SHAPE = (3, 8, 8)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        return self.head(self.stem(x).mean((2, 3)))


@pytest.fixture(scope="module")
def models():
    model = model_of(Small, SHAPE)
    context = context_of(model, samples(SHAPE, 64))
    return {"float": model, **{scheme: Quantize(scheme=scheme)(model, context) for scheme in ("int8", "float16")}}


@pytest.mark.parametrize("scheme", ["float", "float16"])
@pytest.mark.parametrize("exporter", [Tflite(), Tflite(input_layout="nchw"), Onnx()], ids=["tflite", "tflite nchw", "onnx"])
def test_a_float_file_gives_the_networks_numbers(scheme, exporter, models, tmp_path):
    model, inputs = models[scheme], samples(SHAPE, 6, seed=2)
    outputs = run_file(exporter(model, tmp_path), inputs)
    np.testing.assert_allclose(outputs, model(torch.from_numpy(inputs)).numpy(), rtol=1e-4, atol=1e-5)


def test_a_scaled_product_on_one_pixel_exports_in_float(tmp_path):
    case = CASES["scaled linear on one pixel"]
    model, inputs = model_of(case.build, case.shape), case.samples(4)
    for exporter in (Tflite(), Onnx()):
        np.testing.assert_allclose(run_file(exporter(model, tmp_path), inputs), model(torch.from_numpy(inputs)).numpy(), atol=1e-5)


def test_float16_files_store_halves(models, tmp_path):
    file = tflite_format.load(Tflite()(models["float16"], tmp_path).path)
    halves = [tensor for tensor in file.tensors if tensor.dtype == "float16"]
    assert sorted(tensor.data.size for tensor in halves) == [8 * 5, 8 * 3 * 9]
    weights = onnx.load(Onnx()(models["float16"], tmp_path).path).graph.initializer
    assert {entry.name for entry in weights if entry.data_type == onnx.TensorProto.FLOAT16} == {"stem.0.weight", "head.weight"}


def test_an_nhwc_file_says_how_its_axes_are_ordered(models, tmp_path):
    artifact = Tflite()(models["int8"], tmp_path)
    assert (artifact.inputs[0].shape, artifact.inputs[0].permutation) == ((1, 8, 8, 3), (0, 2, 3, 1))
    assert artifact.outputs[0].permutation is None
    assert artifact.path == tmp_path / "network.tflite"


def test_tensors_are_called_after_inputs_and_layers(models, tmp_path):
    file = tflite_format.load(Tflite()(models["int8"], tmp_path).path)
    assert [file.tensors[operator.outputs[0]].name for operator in file.operators] == ["stem.0", "mean", "head"]
    assert file.tensors[file.inputs[0]].name == "x"
    assert len({tensor.name for tensor in file.tensors}) == len(file.tensors)


def test_constants_start_where_small_cores_can_read_them(models, tmp_path):
    path = Tflite()(models["int8"], tmp_path).path
    content = path.read_bytes()
    for tensor in tflite_format.load(path).tensors:
        if tensor.data is not None and tensor.data.size > 4:
            assert content.index(tensor.data.tobytes()) % 16 == 0


def test_a_quantized_onnx_file_stores_integers_and_fits_any_batch(models, tmp_path):
    path = Onnx(opset=19)(models["int8"], tmp_path).path
    file = onnx.load(path)
    stored = {entry.name: entry.data_type for entry in file.graph.initializer}
    assert stored["stem.0.weight"] == stored["head.weight"] == onnx.TensorProto.INT8
    assert stored["stem.0.bias"] == onnx.TensorProto.INT32
    assert file.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert file.opset_import[0].version == 19
    assert [node.name for node in file.graph.node if node.op_type in {"Conv", "Gemm"}] == ["stem.0", "head"]


def test_layers_of_one_width_have_zero_points_of_their_own_as_onnx_runtime_wants_them_to_be_precise(tmp_path):
    model = model_of(lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1)), SHAPE)
    quantized = Quantize()(model, context_of(model, samples(SHAPE, 64)))
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    precise = onnxruntime.InferenceSession(Onnx()(quantized, tmp_path).path, options, providers=["CPUExecutionProvider"])
    inputs = samples(SHAPE, 4)
    outputs = precise.run(None, {precise.get_inputs()[0].name: inputs})[0]
    np.testing.assert_allclose(outputs, quantized(torch.from_numpy(inputs)).numpy(), atol=0.05)


def test_an_onnx_file_tells_what_it_is_and_nothing_of_this_machine(models, tmp_path):
    path = Onnx()(models["float"], tmp_path).path
    facts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert facts["name"] == "network"
    assert "edgepress" in facts
    assert os.getcwd().encode() not in path.read_bytes()  # noqa: PTH109  as the bytes would have it


def test_both_formats_of_a_quantized_network_agree(models, tmp_path):
    inputs = samples(SHAPE, 16, seed=5)
    both = [run_file(exporter(models["int8"], tmp_path), inputs) for exporter in (Tflite(), Onnx())]
    step = Tflite()(models["int8"], tmp_path).outputs[0].scale
    assert compare(both[0], both[1], step).largest_steps <= 1.001


def test_c_and_tflite_share_one_conversion(models, tmp_path, monkeypatch):
    conversions = []
    convert = litert.convert
    monkeypatch.setattr(litert, "convert", lambda *arguments: conversions.append(arguments) or convert(*arguments))
    model = Quantize(observer="minmax")(models["float"], context_of(models["float"], samples(SHAPE, 16)))
    Tflite()(model, tmp_path)
    artifact = C()(model, tmp_path)
    assert len(conversions) == 1
    assert artifact.format == "c"
    assert artifact.inputs[0].permutation == (0, 2, 3, 1)


class Plain(nn.Module):
    """Every operator that goes the short way through the converter."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=2), nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        left, right = F.relu(self.left(x)), torch.tanh(self.right(F.hardtanh(x, 0, 6)))
        both = torch.cat([F.hardtanh(left * right) - left, torch.sigmoid(F.max_pool2d(F.pad(left, (1, 2, 1, 2)), 4, 1))], 1)[:, :8]
        return self.head((both + both.mean((2, 3), keepdim=True)).mean((2, 3)).reshape(-1, 4, 2).flatten(1))


@pytest.mark.parametrize(
    ("quantize", "layout"),
    [
        (True, "nhwc"),
        (False, "nchw"),
        pytest.param(True, "nchw", marks=pytest.mark.slow),
        pytest.param(False, "nhwc", marks=pytest.mark.slow),
    ],
)
def test_plain_operators_make_the_same_file_with_one_trace_as_with_three(quantize, layout, tmp_path, monkeypatch):
    model = model_of(Plain, (4, 8, 8))
    if quantize:
        model = Quantize()(model, context_of(model, samples((4, 8, 8))))
    assert litert_direct.is_plain(model.graph)
    short = Tflite(input_layout=layout)(model, tmp_path)
    monkeypatch.setattr(litert_direct, "PLAIN", frozenset())
    long = Tflite(input_layout=layout)(replace(model), tmp_path / "long")
    assert short.path.read_bytes() == long.path.read_bytes()


def test_a_network_of_fixed_batch_size_and_an_image_as_output_export(tmp_path):
    def forward(x, conv):
        return conv(x.reshape(1, 3, 8, 8))

    model = model_of(lambda: Network(forward, nn.Conv2d(3, 2, 3)), SHAPE)
    assert not model.free_batch
    inputs = samples(SHAPE, 3)
    for exporter in (Tflite(), Onnx()):
        artifact = exporter(model, tmp_path)
        rows = [run_file(artifact, sample[None]) for sample in inputs]
        np.testing.assert_allclose(np.concatenate(rows), model(torch.from_numpy(inputs)).numpy(), rtol=1e-4, atol=1e-5)


def test_layers_left_in_float_export_beside_integer_ones(models, tmp_path):
    model = Quantize(overrides=(Override(match="head", scheme="float"),))(models["float"], context_of(models["float"], samples(SHAPE, 64)))
    inputs = samples(SHAPE, 8)
    for exporter in (Tflite(), Onnx()):
        outputs = run_file(exporter(model, tmp_path), inputs)
        assert compare(model(torch.from_numpy(inputs)).numpy(), outputs).relative_error < 0.02


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.odd = nn.Module()
        self.odd.forward = torch.digamma

    def forward(self, x):
        return self.odd(x)


@pytest.mark.parametrize(("exporter", "word"), [(Tflite(), "TFLite"), (Onnx(), "ONNX")])
def test_an_operator_that_a_format_has_not_is_named_with_its_layer(exporter, word, tmp_path):
    with pytest.raises(ExportError, match=rf"layer 'odd': {word} has no operator for 'digamma'; leave"):
        exporter(model_of(Odd, (4,)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(models, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file.*can't be written"):
        Onnx()(models["float"], tmp_path / "file" / "folder")


@pytest.mark.parametrize(("build", "message"), [(lambda: Tflite(input_layout="nhcw"), "nhwc"), (lambda: Onnx(opset=11), "18 to 23")])
def test_impossible_options_are_refused(build, message):
    with pytest.raises(UserError, match=message):
        build()


def test_exporting_writes_nothing_to_the_terminal(models, tmp_path, capfd):
    model = Quantize(observer="minmax")(models["float"], context_of(models["float"], samples(SHAPE, 16)))
    for exporter in (Tflite(), Onnx()):
        exporter(model, tmp_path)
    assert capfd.readouterr() == ("", "")


class MaskedHeads(nn.Module):
    """Three heads whose result is laid out in another order by torch's kernel than by the exporter's own decomposition."""

    def __init__(self):
        super().__init__()
        self.all, self.out, self.bias = nn.Linear(8, 72), nn.Linear(24, 4), nn.Parameter(torch.zeros(1, 3, 12, 12))

    def forward(self, x):
        query, key, value = self.all(x).view(x.shape[0], 12, 3, 3, 8).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, self.bias.expand(x.shape[0], -1, -1, -1))
        return self.out(mixed.transpose(1, 2).contiguous().view(x.shape[0], 12, -1))


def test_attention_with_a_mask_is_an_onnx_file_of_any_batch(tmp_path):
    import onnxruntime

    model = capture(MaskedHeads().eval(), (torch.randn(2, 12, 8),))
    session = onnxruntime.InferenceSession(Onnx()(model, tmp_path).path)
    x = torch.randn(5, 12, 8)
    np.testing.assert_allclose(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0], model(x).numpy(), atol=1e-5)
