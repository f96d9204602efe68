"""Networks of the usual families, exported to ONNX in every generation of operator sets: each gives what ONNX Runtime gives."""

import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import compress.sources
from compress.sources.base import SourceOptions


class Bottlenecks(nn.Module):
    """As MobileNetV2 and V3: depthwise layers, hard activations, squeeze and excitation, a residual."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
        self.expand = nn.Sequential(nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 5, 1, 2, groups=16, bias=False), nn.BatchNorm2d(16), nn.Hardswish())
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1), nn.Hardsigmoid())
        self.project = nn.Sequential(nn.Conv2d(16, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        inner = self.depthwise(self.expand(x))
        x = x + self.project(inner * self.squeeze(inner))
        return self.head(x.mean((2, 3)))


class Residual(nn.Module):
    """As ResNet and DenseNet: padded pooling, a shortcut by a layer, parts put together, average pooling with padding."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.inner, self.shortcut = nn.Conv2d(8, 12, 3, 1, 1), nn.Conv2d(8, 12, 1)
        self.pool = nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)
        self.head = nn.Linear(20 * 25, 5)

    def forward(self, x):
        x = self.stem(x)
        x = torch.cat([F.relu(self.inner(x) + self.shortcut(x)), x], 1)
        return F.log_softmax(self.head(torch.flatten(self.pool(x), 1)), 1)


class Shuffled(nn.Module):
    """As ShuffleNetV2: chunks, channel shuffle by reshaping with computed sizes, slices with steps."""

    def __init__(self):
        super().__init__()
        self.stem, self.branch = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1, groups=4)

    def forward(self, x):
        first, second = self.stem(x).chunk(2, 1)
        x = torch.cat([first, F.leaky_relu(self.branch(second), 0.1)], 1)
        batch, channels, height, width = x.shape
        x = x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)
        return torch.cat([x[:, :, ::2, ::2], x[:, :, 1::2, 1::2]], 1).flatten(1)


class Hourglass(nn.Module):
    """As U-Net: enlarged by interpolation, transposed convolution and pixel shuffle, with reflected and constant padding."""

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 8, 3, 2, 1), nn.ConvTranspose2d(8, 4, 4, 2, 1)
        self.last = nn.Conv2d(8 + 8 + 4, 4, 3)

    def forward(self, x):
        small = F.elu(self.down(F.pad(x, (1, 2, 1, 2), mode="reflect")))[:, :, :16, :16]
        parts = [
            F.interpolate(small, scale_factor=2.0, mode="nearest"),
            F.interpolate(small, scale_factor=2.0, mode="bilinear"),
            self.up(small),
        ]
        return F.pixel_shuffle(self.last(F.pad(torch.cat(parts, 1), (1, 1, 1, 1), value=0.5)), 2)


class Spoken(nn.Module):
    """As keyword spotters: an LSTM and a GRU in both directions over rows of the image."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(32, 8, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(16, 6, num_layers=2, batch_first=True)

    def forward(self, x):
        made, _ = self.gru(self.lstm(x.mean(1))[0])
        return made[:, -1]


class Attention(nn.Module):
    """As small vision transformers: patches, a learned token, LayerNorm, several heads."""

    def __init__(self):
        super().__init__()
        self.patch, self.token = nn.Conv2d(3, 16, 8, 8), nn.Parameter(torch.randn(1, 1, 16))
        self.norm, self.inner, self.head = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 5)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        q, k, v = self.inner(self.norm(x)).reshape(x.shape[0], x.shape[1], 3, 4, 4).permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(q @ k.transpose(-2, -1) / 2.0, -1)
        x = x + F.gelu((weights @ v).transpose(1, 2).reshape(x.shape))
        return self.head(x[:, 0])


class Normalized(nn.Module):
    """Every other normalization, reductions, and a choice by comparison."""

    def __init__(self):
        super().__init__()
        self.group, self.instance = nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True)
        self.stem, self.slope = nn.Conv2d(3, 8, 3, 2), nn.PReLU(8)

    def forward(self, x):
        x = self.slope(self.instance(self.group(self.stem(x))))
        x = torch.where(x > 0.1, x.clamp(-1.0, 2.0), torch.sigmoid(x) - 0.5)
        x = torch.cat([x.amax(3), x.sum(3) / 16.0, x.square().mean(3).sqrt()], 1)
        return F.softmax(torch.tanh(x).permute(0, 2, 1), -1)


NETWORKS = {network.__name__: network for network in (Bottlenecks, Residual, Shuffled, Hourglass, Spoken, Attention, Normalized)}
OPSETS = (7, 9, 11, 13, 17, 20)
OLDEST = {"Residual": 11, "Shuffled": 11, "Hourglass": 9, "Spoken": 9, "Attention": 9, "Normalized": 9}
"""The first of these that torch itself can write soundly."""


def given(samples=2):
    return np.random.default_rng(0).standard_normal((samples, 3, 32, 32)).astype(np.float32)


def network(name):
    torch.manual_seed(0)
    built = NETWORKS[name]().eval()
    with torch.no_grad():
        for layer in built.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2.0)
    return built


def exported(name, opset, path, *, free):
    """By the exporter that torch has for operator sets this old."""
    options = {"input_names": ["image"], "output_names": ["y"], "dynamic_axes": {"image": {0: "n"}, "y": {0: "n"}} if free else None}
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            network(name), (torch.from_numpy(given()[: 2 if free else 1]),), str(path), opset_version=opset, dynamo=False, **options
        )
    return path


def runtime(path, samples):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {"image": given(samples)})
    return made


def check(path, expected):
    images = given(len(expected))
    model = compress.sources.load(SourceOptions(path.name, folder=path.parent), (images,))
    np.testing.assert_allclose(model(torch.from_numpy(images)).numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("name", "opset"), [(name, opset) for name in NETWORKS for opset in OPSETS if opset >= OLDEST.get(name, 0)])
def test_a_network_of_any_operator_set_gives_what_onnx_runtime_gives(name, opset, tmp_path):
    path = exported(name, opset, tmp_path / "network.onnx", free=False)
    check(path, runtime(path, 1))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_newest_operator_set_is_read_too(name, tmp_path):
    """As onnx's own converter brings a file there; ONNX Runtime may be older and runs the file that it came from."""
    path = exported(name, 20, tmp_path / "network.onnx", free=True)
    expected = runtime(path, 2)
    onnx.save(onnx.version_converter.convert_version(onnx.load(path), onnx.defs.onnx_opset_version()), path)
    check(path, expected)
