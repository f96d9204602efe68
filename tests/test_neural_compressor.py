import dataclasses

import numpy as np
import pytest
import torch
from quantized_networks import context_of, model_of, run_file, samples, trained
from torch import nn

from compress.exporters.onnx import Onnx
from compress.exporters.tflite import Tflite
from compress.parity import compare, output_step
from compress.passes.quantize import Quantize
from compress.quantization.neural_compressor import tool
from compress.quantization.overrides import Override
from compress.quantization.static import BATCH
from targets.errors import UserError

pytest.importorskip("neural_compressor", reason="edgepress[neural-compressor] is not installed")
IMAGE, SEQUENCE = (3, 8, 8), (6, 8)
NORM_IN_FLOAT = (Override(match="norm", scheme="float"),)


class Convolutional(nn.Module):
    """A folded BatchNorm, a depthwise layer (no matrix product), a residual sum and a linear layer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), trained(nn.BatchNorm2d(8)), nn.ReLU())
        self.depthwise = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
        self.body = nn.Conv2d(8, 8, 3, dilation=2, padding=2)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.depthwise(self.stem(x))
        return self.head(torch.relu(x + self.body(x)).mean((2, 3)))


class Transformer(nn.Module):
    """One block of attention over a sequence; one channel of its norm is `outlier` times as large as the others."""

    def __init__(self, outlier=1.0):
        super().__init__()
        self.embed, self.norm, self.head = nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 4)
        nn.init.constant_(self.norm.weight[3:4], outlier)
        self.query, self.key, self.value, self.out = (nn.Linear(16, 16) for _ in range(4))
        self.up, self.down = nn.Linear(16, 64), nn.Linear(64, 16)
        for layer in (self.query, self.key, self.value):
            layer.weight.data[:, 3] /= outlier

    def forward(self, x):
        x = self.embed(x)
        y = self.norm(x)
        x = x + self.out(torch.softmax(self.query(y) @ self.key(y).transpose(1, 2) / 4, -1) @ self.value(y))
        return self.head((x + self.down(torch.relu(self.up(x)))).mean(1))


NETWORKS = {
    "convolutional": (Convolutional, IMAGE, ()),
    "transformer": (Transformer, SEQUENCE, NORM_IN_FLOAT),
    "outlier": (lambda: Transformer(50.0), SEQUENCE, NORM_IN_FLOAT),
}


@dataclasses.dataclass(frozen=True)
class Setting:
    model: object
    context: object
    inputs: np.ndarray
    overrides: tuple

    def quantize(self, algorithm, scheme="int8", **options):
        engine = "neural-compressor" if algorithm else "edgepress"
        chosen = {"overrides": self.overrides, **options}
        return Quantize(scheme=scheme, engine=engine, algorithm=algorithm, **chosen)(self.model, self.context)

    def error(self, quantized):
        return compare(self.outputs(self.model), self.outputs(quantized)).relative_error

    def outputs(self, model):
        return model(torch.from_numpy(self.inputs)).numpy()


@pytest.fixture(scope="module", params=["convolutional", "transformer"])
def setting(request):
    return made(request.param)


def made(name):
    build, shape, overrides = NETWORKS[name]
    model = model_of(build, shape)
    return Setting(model, context_of(model, samples(shape, 64)), samples(shape, 64), overrides)


def check_files(setting, quantized, folder):
    """Both files compute what the torch graph does, up to roundings that go the other way."""
    reference = setting.outputs(quantized)
    for exporter in (Tflite(), Onnx()):
        outputs = run_file(exporter(quantized, folder), setting.inputs)
        assert compare(reference, outputs, output_step(quantized)).largest_steps <= 2, exporter


@pytest.mark.parametrize(
    ("algorithm", "scheme", "limit"),
    [("static", "int8", 0.03), ("gptq", "w4a8", 0.12)],
)
def test_what_an_algorithm_chooses_is_in_both_files(algorithm, scheme, limit, setting, tmp_path):
    quantized = setting.quantize(algorithm, scheme)
    assert setting.error(quantized) < limit
    assert any("Neural Compressor 3.10" in line for line in quantized.history[-1].lines)
    check_files(setting, quantized, tmp_path)


@pytest.fixture(scope="module")
def convolutional():
    return made("convolutional")


def test_static_carries_its_scales(convolutional):
    """Weights by their largest over 127.5; the input's range moves by a hundredth towards each batch's extremes."""
    graph = convolutional.quantize("static").graph
    constants, reference = graph.state_dict(), convolutional.quantize(None, equalize=False).reference.graph.state_dict()
    for name in ("stem.0", "depthwise", "body", "head"):
        largest = reference[f"{name}.weight"].abs().flatten(1).amax(1)
        torch.testing.assert_close(constants[f"{name}.weight_scale"], largest / 127.5)
    first, *others = np.split(samples(IMAGE, 64), 64 // BATCH)
    low, high = first.min(), first.max()
    for batch in others:
        low, high = low + 0.01 * (batch.min() - low), high + 0.01 * (batch.max() - high)
    (source,) = (node for node in graph.graph.nodes if node.op == "placeholder")
    (quantize,) = source.users
    assert quantize.args[1] == pytest.approx((high - low) / 255, rel=1e-5)
    assert quantize.args[2] == round(-128 - low / ((high - low) / 255))


def test_gptq_beats_rounding_to_nearest_and_leaves_out_the_lowest_integer(convolutional):
    errors = {}
    for algorithm in ("gptq", "rtn"):
        quantized = convolutional.quantize(algorithm, "w4a8")
        errors[algorithm] = convolutional.error(quantized)
        constants = quantized.graph.state_dict()
        assert constants["body.weight"].abs().amax() == 7
    assert errors["gptq"] < 0.75 * errors["rtn"]


def test_a_layer_that_an_algorithm_cannot_take_is_named(convolutional):
    lines = convolutional.quantize("gptq", "w4a8").history[-1].lines
    assert "rounded to nearest, since gptq can't take them: depthwise" in lines


def test_each_layer_has_the_bits_of_its_scheme(convolutional):
    rules = (Override(match="head", scheme="int8"), Override(match="depthwise", scheme="float"))
    constants = convolutional.quantize("gptq", "w4a8", overrides=rules).graph.state_dict()
    assert constants["body.weight"].abs().amax() == 7
    assert constants["head.weight"].abs().amax() in (127, 126)
    assert constants["depthwise.weight"].dtype == torch.float32


def test_smoothquant_moves_an_outlier_into_the_weights_that_read_it():
    setting = made("outlier")
    smoothed, plain = setting.quantize("smooth-quant"), setting.quantize("static")
    assert "SmoothQuant's factors folded into the layers before 4 linear layers" in smoothed.history[-1].lines
    np.testing.assert_allclose(setting.outputs(smoothed.reference), setting.outputs(setting.model), atol=1e-4)
    assert setting.error(smoothed) < 0.5 * setting.error(plain)


def test_awq_moves_factors_and_leaves_the_function_alone():
    setting = made("outlier")
    chosen, rounded = setting.quantize("awq", "w4a8"), setting.quantize("rtn", "w4a8")
    assert "Neural Compressor 3.10: awq chose the weights of 4 layers" in chosen.history[-1].lines[-2]
    assert "rounded to nearest, since awq can't take them: embed, out, up, head" in chosen.history[-1].lines
    np.testing.assert_allclose(setting.outputs(chosen.reference), setting.outputs(setting.model), atol=1e-4)
    assert setting.error(chosen) < setting.error(rounded)


@pytest.mark.slow
def test_autoround_is_in_both_files_and_beats_rounding_to_nearest(setting, tmp_path):
    quantized = setting.quantize("autoround", "w4a8")
    assert setting.error(quantized) < setting.error(setting.quantize("rtn", "w4a8"))
    check_files(setting, quantized, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "neural-compressor"}, r"needs 'algorithm'; possible: autoround, awq, gptq"),
        ({"engine": "neural-compressor", "algorithm": "gptc"}, r"no algorithm 'gptc'; did you mean 'gptq'"),
        ({"algorithm": "gptq"}, r"algorithm gptq is one of engine neural-compressor's; set 'engine' too"),
        ({"engine": "neural_compressor", "algorithm": "gptq"}, r"did you mean 'neural-compressor'"),
        ({"engine": "neural-compressor", "algorithm": "static", "scheme": "w4a8"}, r"algorithm static is for scheme int8, not w4a8"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Quantize(**options)


def test_a_missing_package_is_one_line_with_the_cure(convolutional, monkeypatch):
    monkeypatch.setattr(tool, "PACKAGES", ("a-package-that-nobody-has",))
    with pytest.raises(UserError, match=r"needs a-package-that-nobody-has.*pip install 'edgepress\[neural-compressor\]'"):
        convolutional.quantize("gptq")


def test_nothing_is_left_in_the_folder_where_it_runs(convolutional, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    convolutional.quantize("gptq")
    assert list(tmp_path.iterdir()) == []
