"""Whole architectures, hand-written and small: pruned they give what the masked network gives, and how much of them goes."""

import sys
from pathlib import Path

import pytest
import torch
from pruning_networks import conv, settle
from test_prune_channels import prune
from torch import nn
from torch.nn import functional as F

from compress import cost

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import pruning_job
import pruning_tools

pytestmark = pytest.mark.usefixtures("one_thread")


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.inner = nn.Linear(5, 8), nn.LSTM(8, 7, batch_first=True)
        self.hidden, self.head = nn.Linear(7, 6), nn.Linear(6, 4)

    def forward(self, x):
        return self.head(torch.relu(self.hidden(self.inner(torch.relu(self.embed(x)))[0][:, -1])))


class VisionTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 16, 4, 4), nn.Parameter(torch.randn(1, 1, 16))
        self.position = nn.Parameter(torch.randn(1, 5, 16))
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu", norm_first=True)
        self.body, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(16, 4)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.body(x)[:, 0])


class ConvNeXt(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.depthwise, self.norm = nn.Conv2d(3, 12, 2, 2), nn.Conv2d(12, 12, 7, padding=3, groups=12), nn.LayerNorm(12)
        self.wide, self.narrow, self.scale, self.head = nn.Linear(12, 48), nn.Linear(48, 12), nn.Parameter(torch.rand(12)), nn.Linear(12, 4)

    def forward(self, x):
        x = self.stem(x)
        y = self.scale * self.narrow(F.gelu(self.wide(self.norm(self.depthwise(x).permute(0, 2, 3, 1)))))
        return self.head((x + y.permute(0, 3, 1, 2)).mean([-2, -1]))


class MobileNetV3(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Hardswish())
        self.expand = nn.Sequential(nn.Conv2d(8, 24, 1), nn.Hardswish(), nn.Conv2d(24, 24, 5, padding=2, groups=24), nn.BatchNorm2d(24))
        self.down, self.up, self.project, self.head = nn.Conv2d(24, 8, 1), nn.Conv2d(8, 24, 1), nn.Conv2d(24, 8, 1), nn.Linear(8, 4)

    def forward(self, x):
        x = self.stem(x)
        y = self.expand(x)
        y = F.hardswish(y * F.hardsigmoid(self.up(F.relu(self.down(y.mean((2, 3), keepdim=True))))))
        return self.head((x + self.project(y)).mean((2, 3)))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.middle = conv(3, 8), conv(8, 12), conv(12, 16)
        self.up2, self.merge2 = nn.ConvTranspose2d(16, 12, 2, 2), conv(24, 12)
        self.up1, self.merge1, self.head = nn.Upsample(scale_factor=2, mode="bilinear"), conv(20, 8), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        first = self.down1(x)
        second = self.down2(F.max_pool2d(first, 2))
        x = self.merge2(torch.cat([self.up2(self.middle(F.max_pool2d(second, 2))), second], 1))
        return self.head(self.merge1(torch.cat([self.up1(x), first], 1)))


class WrittenOutAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.out, self.head = *(nn.Linear(16, 16) for _ in range(4)), nn.Linear(16, 4)

    def forward(self, x):
        batch, length, size = x.shape
        query, key, value = (layer(x).view(batch, length, 4, 4).transpose(1, 2) for layer in (self.query, self.key, self.value))
        mixed = (query @ key.transpose(-2, -1) / 2).softmax(-1) @ value
        return self.head(x + self.out(mixed.transpose(1, 2).reshape(batch, length, size))).mean(1)


class SpatialAttention(nn.Module):
    """CBAM: mean and maximum over channels, which therefore stay."""

    def __init__(self):
        super().__init__()
        self.first, self.gate, self.second, self.head = conv(3, 8), nn.Conv2d(2, 1, 3, padding=1), conv(8, 6), nn.Conv2d(6, 4, 1)

    def forward(self, x):
        x = self.first(x)
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return self.head(self.second(x * torch.sigmoid(self.gate(seen)))).mean((2, 3))


class ShiftedWindows(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches, self.wide, self.narrow, self.head = nn.Conv2d(3, 8, 1), nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 4)

    def forward(self, x):
        x = torch.roll(self.patches(x).permute(0, 2, 3, 1), (1, 1), (1, 2))
        batch, height, width, size = x.shape
        x = x.view(batch, 2, height // 2, 2, width // 2, size).permute(0, 1, 3, 2, 4, 5).reshape(-1, height // 2 * (width // 2), size)
        x = x + self.narrow(torch.relu(self.wide(x)))
        x = x.view(batch, 2, 2, height // 2, width // 2, size).permute(0, 1, 3, 2, 4, 5).reshape(batch, height, width, size)
        return self.head(x.mean((1, 2)))


class Product(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.weight, self.head = nn.Linear(6, 8), nn.Parameter(torch.randn(8, 6)), nn.Linear(6, 4)

    def forward(self, x):
        return self.head(torch.relu(torch.relu(self.first(x)) @ self.weight)).mean(1)


class GatedUnit(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second, self.head = nn.Conv2d(3, 16, 3), nn.InstanceNorm2d(8, affine=True), conv(8, 6), nn.Linear(6, 4)

    def forward(self, x):
        x = self.second(self.norm(F.glu(self.first(x), 1)))
        return F.normalize(self.head(F.adaptive_max_pool2d(F.leaky_relu(x), 1).squeeze(-1).squeeze(-1)))


class Sound(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second, self.head = (
            nn.Conv1d(5, 8, 3, padding=1),
            nn.BatchNorm1d(8),
            nn.Conv1d(8, 6, 3),
            nn.Linear(6, 4),
        )

    def forward(self, x):
        return self.head(F.avg_pool1d(torch.relu(self.second(self.norm(self.first(x)))), 2).mean(2))


class CalculatedWeight(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3))
        self.second, self.head = nn.Conv2d(8, 6, 3), nn.Conv2d(6, 4, 1)

    def forward(self, x):
        return self.head(torch.relu(self.second(torch.relu(self.first(x))))).mean((2, 3))


@pytest.mark.parametrize(
    ("kind", "shape", "most"),
    [
        (Recurrent, (6, 5), 0.35),
        (VisionTransformer, (3, 8, 8), 0.35),
        (ConvNeXt, (3, 8, 8), 0.35),
        (MobileNetV3, (3, 8, 8), 0.45),
        (UNet, (3, 8, 8), 0.3),
        (WrittenOutAttention, (6, 16), 0.55),
        (SpatialAttention, (3, 8, 8), 0.7),
        (ShiftedWindows, (3, 8, 8), 0.3),
        (Product, (5, 6), 0.4),
        (GatedUnit, (3, 8, 8), 0.5),
        (Sound, (5, 12), 0.4),
        (CalculatedWeight, (3, 8, 8), 0.8),
    ],
)
@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")
def test_architecture(kind, shape, most):
    torch.manual_seed(0)
    model, pruned = prune(settle(kind()), torch.zeros(1, *shape), criterion="l1")
    assert cost.macs(pruned) <= most * cost.macs(model)


HAND_WRITTEN = {
    "lstm": 0.25,
    "gru": 0.25,
    "deep_lstm": 0.25,
    "sound_gru": 0.25,
    "transformer": 0.3,
    "mixer": 0.5,
    "tied_autoencoder": 0.45,
    "einsum_attention": 0.4,
    "gated_text": 0.3,
    "vision_transformer": 0.35,
}
MANY_STEPS = ("deep_lstm", "gru", "sound_gru")
"""Networks whose recurrent layers take seconds."""


def pruned_as_in_the_benchmark(name, ratio):
    task = pruning_tools.Task(name, pruning_job.ARCHITECTURES[name], ratio)
    pruned = pruning_tools.edgepress(task)
    assert pruning_job.exact(task, pruned)
    return pruning_tools.share_left(task.captured(), pruned.model)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in MANY_STEPS else ()) for name in HAND_WRITTEN])
def test_hand_written(name):
    assert pruned_as_in_the_benchmark(name, 0.6) <= HAND_WRITTEN[name]


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0.3, 0.6])
@pytest.mark.parametrize("name", pruning_job.ARCHITECTURES)
@pytest.mark.filterwarnings("ignore")  # transformers' own
def test_every_architecture(name, ratio):
    assert pruned_as_in_the_benchmark(name, ratio) < (0.95 if ratio < 0.5 else 0.9)
