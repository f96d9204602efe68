"""Every operator in networks of images, sequences and tokens: integers throughout, and two runtimes that agree."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from quantized_networks import ARITHMETIC, context_of, model_of, run_file, samples
from torch import nn

from compress.exporters.onnx import Onnx
from compress.exporters.tflite import Tflite
from compress.parity import compare
from compress.passes.quantize import Quantize
from targets.formats import tflite as tflite_format

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SAMPLES = 400
CLASSES = 10


class Images(nn.Module):
    """Convolutions of all kinds, pools, resizing, and every activation."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.grouped = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2)
        self.prelu = nn.PReLU(8)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.spread = nn.Conv2d(8, 16, 1)
        self.join = nn.Conv2d(20, 12, 1)
        self.head = nn.Linear(12 * 4, 24)
        self.last = nn.Linear(24, CLASSES)

    def forward(self, x):
        x = F.relu6(self.norm(self.stem(x)))
        x = F.hardswish(self.depthwise(x)) + F.leaky_relu(x, 0.1)
        x = self.prelu(self.grouped(F.pad(x, (1, 1, 1, 1)))) - 0.5
        x = F.max_pool2d(x, 3, 2, 1) * torch.sigmoid(F.avg_pool2d(x, 3, 2, 1))
        left, right = F.silu(self.up(x)).split(4, 1)
        wide = F.interpolate(F.gelu(left), scale_factor=2) + F.interpolate(torch.tanh(right), scale_factor=2, mode="bilinear")
        risen = F.relu(self.up(x))
        x = torch.cat([wide, F.pixel_shuffle(self.spread(F.hardsigmoid(risen)), 2), F.interpolate(risen, scale_factor=2), wide], 1)
        x = F.adaptive_avg_pool2d(self.join(x[:, :20]), 2).flatten(1)
        x = F.relu(self.head(x))
        return self.last(x / (1 + x.sum(1, keepdim=True) / 24))


class Sequences(nn.Module):
    """Convolutions of one axis, an LSTM, a GRU, and attention."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(6, 12, 3, padding=1)
        self.lstm = nn.LSTM(12, 12, batch_first=True)
        self.gru = nn.GRU(12, 12, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(12, 3, 24, batch_first=True)
        self.last = nn.Linear(24, CLASSES)

    def forward(self, x):
        x = F.max_pool1d(F.relu(self.conv(x)), 2).transpose(1, 2)
        x = self.encoder(self.lstm(x)[0] + x)
        state = self.gru(x)[1].squeeze(0)
        return self.last(torch.cat([state, x.mean(1)], 1))


class Tokens(nn.Module):
    """A small transformer over words, which looks at the past only."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(32, 16)
        self.places = nn.Parameter(torch.randn(1, 8, 16) * 0.3)
        self.norm = nn.LayerNorm(16)
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        self.last = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = self.words(x) + self.places
        y = self.norm(x)
        y = x + F.scaled_dot_product_attention(self.query(y), self.key(y), self.value(y), is_causal=True)
        return F.softmax(self.last(y[:, -1]), 1)


def examples(shape, count, seed):
    """Samples of ten classes, each near its own prototype, and their classes."""
    prototypes, labels = samples(shape, CLASSES, seed=99), np.random.default_rng(seed).integers(0, CLASSES, count)
    return prototypes[labels] + np.float32(0.7) * samples(shape, count, seed), labels


def taught(network, shape):
    """The network after a few steps of training, so that it tells one class from the next."""
    optimizer = torch.optim.Adam(network.parameters(), 0.005)
    for step in range(60):
        inputs, labels = map(torch.from_numpy, examples(shape, 64, seed=1000 + step))
        optimizer.zero_grad()
        F.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
    return network


NETWORKS = {"images": (Images, (3, 16, 16), 0), "sequences": (Sequences, (6, 12), 0), "tokens": (Tokens, (8,), 32)}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_two_runtimes_agree_on_a_network_of_every_operator(name, tmp_path):
    build, shape, words = NETWORKS[name]
    original = model_of(build if words else lambda: taught(build(), shape), shape, words)
    seen, inputs = (
        samples(shape, count, seed, words) if words else examples(shape, count, seed)[0] for count, seed in ((200, 0), (SAMPLES, 1))
    )
    model = Quantize()(original, context_of(original, seen))
    artifact = Tflite()(model, tmp_path)
    file = tflite_format.load(artifact.path)
    assert not ARITHMETIC & {tensor.dtype for tensor in file.tensors}
    assert (artifact.inputs[0].dtype, artifact.outputs[0].dtype) == ("int32" if words else "int8", "int8")
    outputs = run_file(artifact, inputs)
    between = compare(run_file(Onnx()(model, tmp_path), inputs), outputs, artifact.outputs[0].scale)
    graph = compare(model(torch.from_numpy(inputs)).numpy(), outputs, artifact.outputs[0].scale)
    real = compare(original(torch.from_numpy(inputs)).numpy(), outputs)
    print(f"{name}: between runtimes {between}, to the graph {graph.largest_steps:.2f} steps, to float {real.relative_error:.3f}")  # noqa: T201  shown by pytest -s
    assert between.agreement >= 0.995
    assert np.isfinite(outputs).all()


NEEDED = {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "AVERAGE_POOL_2D", "RESHAPE", "FULLY_CONNECTED"}


@pytest.mark.data
@pytest.mark.skipif(not SHARED.exists(), reason=f"the trained networks are not beside the checkout ({SHARED.name} is missing)")
@pytest.mark.parametrize("name", ["resnet8", "dscnn", "vww"])
def test_no_operator_is_left_that_the_layout_does_not_need(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SHARED))
    import datasets
    import networks

    inputs = datasets.calibration(name, 32)
    original = model_of(lambda: networks.load(name), inputs.shape[1:])
    artifact = Tflite()(Quantize()(original, context_of(original, inputs)), tmp_path)
    assert {operator.name for operator in tflite_format.load(artifact.path).operators} <= NEEDED
