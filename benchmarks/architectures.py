"""Small networks of many architectures, hand-written, for benchmarks and tests; those of `transformers` are in a file of their own.

Inputs are float32, as edgepress takes them: images [N, 3, 32, 32], sequences [N, 12, 8], sounds [N, 1, 400], token numbers [N, 12].
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

WORDS = 50


@dataclass(frozen=True)
class Architecture:
    """How to build a network, and the shape of one sample; `tokens` where that holds whole numbers below WORDS."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...] = (3, 32, 32)
    tokens: bool = False

    def inputs(self, samples: int, seed: int = 0) -> torch.Tensor:
        """Samples [samples, …], float32."""
        generator = torch.Generator().manual_seed(seed)
        if self.tokens:
            return torch.randint(0, WORDS, (samples, *self.shape), generator=generator).float()
        return torch.randn(samples, *self.shape, generator=generator)

    def network(self, seed: int = 0) -> nn.Module:
        """The network with random weights, all of a tensor distinct, so that what is left of one can be told by its values."""
        torch.manual_seed(seed)
        network = self.build().eval()
        with torch.no_grad():
            for name, tensor in (*network.named_parameters(), *network.named_buffers()):
                if tensor.is_floating_point() and tensor.numel() > 1:
                    spread = (torch.randperm(tensor.numel()) + 0.5) / tensor.numel() - 0.5
                    tensor.copy_(_scaled(name.rpartition(".")[2], spread.reshape(tensor.shape)))
        return network


def _scaled(name: str, spread: torch.Tensor) -> torch.Tensor:
    """Numbers from -0.5 to 0.5, as wide as keeps activations where they were; scales and variances about 1."""
    if spread.ndim > 1:
        return spread * (12 / (spread.numel() / spread.shape[0])) ** 0.5
    return spread + 1 if name in ("weight", "running_var") else spread


def conv(channels, width, size=3, stride=1, groups=1):
    return nn.Sequential(nn.Conv2d(channels, width, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(width), nn.ReLU())


def head(channels):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5))


class Residual(nn.Module):
    def __init__(self, channels, width, stride=1, groups=1):
        super().__init__()
        self.body = nn.Sequential(conv(channels, width, 3, stride), nn.Conv2d(width, width, 3, 1, 1, groups=groups), nn.BatchNorm2d(width))
        self.shortcut = nn.Identity() if stride == 1 and channels == width else nn.Conv2d(channels, width, 1, stride)

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x))


class PreActivation(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 3, 1, 1)) for _ in "ab")
        )

    def forward(self, x):
        return x + self.body(x)


class Dense(nn.Module):
    def __init__(self, channels, growth, layers):
        super().__init__()
        self.layers = nn.ModuleList(conv(channels + growth * layer, growth) for layer in range(layers))

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class Inception(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.one, self.three = conv(channels, 8, 1), nn.Sequential(conv(channels, 8, 1), conv(8, 12))
        self.five, self.pooled = nn.Sequential(conv(channels, 4, 1), conv(4, 8, 5)), conv(channels, 4, 1)

    def forward(self, x):
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(F.max_pool2d(x, 3, 1, 1))], 1)


class InvertedResidual(nn.Module):
    """MobileNetV2's; with `squeeze` MobileNetV3's, with a gate a channel."""

    def __init__(self, channels, squeeze=False):
        super().__init__()
        wide = 3 * channels
        self.body = nn.Sequential(conv(channels, wide, 1), conv(wide, wide, groups=wide))
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, 8, 1), nn.ReLU(), nn.Conv2d(8, wide, 1), nn.Hardsigmoid())
        self.squeeze, self.project = squeeze, nn.Sequential(nn.Conv2d(wide, channels, 1), nn.BatchNorm2d(channels))
        if not squeeze:
            del self.gate

    def forward(self, x):
        wide = self.body(x)
        return x + self.project(wide * self.gate(wide) if self.squeeze else wide)


class ShuffleUnit(nn.Module):
    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.body = nn.Sequential(
            conv(half, half, 1), nn.Conv2d(half, half, 3, 1, 1, groups=half), nn.BatchNorm2d(half), conv(half, half, 1)
        )

    def forward(self, x):
        left, right = x.chunk(2, 1)
        x = torch.cat([left, self.body(right)], 1)
        batch, channels, height, width = x.shape
        return x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)


class Ghost(nn.Module):
    def __init__(self, channels, width):
        super().__init__()
        self.primary, self.cheap = conv(channels, width // 2, 1), conv(width // 2, width // 2, groups=width // 2)

    def forward(self, x):
        x = self.primary(x)
        return torch.cat([x, self.cheap(x)], 1)


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.middle = conv(3, 12), conv(12, 16), conv(16, 24)
        self.up2, self.merge2 = nn.ConvTranspose2d(24, 16, 2, 2), conv(32, 16)
        self.up1, self.merge1, self.head = nn.Upsample(scale_factor=2, mode="nearest"), conv(28, 12), nn.Conv2d(12, 4, 1)

    def forward(self, x):
        first = self.down1(x)
        second = self.down2(F.max_pool2d(first, 2))
        x = self.merge2(torch.cat([self.up2(self.middle(F.max_pool2d(second, 2))), second], 1))
        return self.head(self.merge1(torch.cat([self.up1(x), first], 1)))


class Siamese(nn.Module):
    """One network for both halves of an image, and the distance of what it says."""

    def __init__(self):
        super().__init__()
        self.twin, self.head = nn.Sequential(conv(3, 12), conv(12, 16, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(16, 5)

    def forward(self, x):
        return self.head((self.twin(x[..., :16]) - self.twin(x[..., 16:])).abs())


class Recurrent(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.embed, self.inner = nn.Linear(8, 16), kind(16, 24, batch_first=True, **options)
        self.hidden, self.head = nn.Linear(24 * (1 + self.inner.bidirectional), 16), nn.Linear(16, 5)

    def forward(self, x):
        outputs, _ = self.inner(torch.relu(self.embed(x)))
        return self.head(torch.relu(self.hidden(outputs[:, -1])))


class SoundRecurrent(nn.Module):
    """Convolutions, then a GRU over what they give, as keyword spotters have."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(1, 16, 20, 10), nn.BatchNorm1d(16), nn.ReLU())
        self.inner, self.head = nn.GRU(16, 20, batch_first=True), nn.Linear(20, 5)

    def forward(self, x):
        return self.head(self.inner(self.stem(x).transpose(1, 2))[0].mean(1))


class Encoder(nn.Module):
    """torch's own transformer over a sequence."""

    def __init__(self, norm_first):
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu", norm_first=norm_first)
        self.embed, self.body = nn.Linear(8, 32), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.position, self.head = nn.Parameter(torch.zeros(1, 12, 32)), nn.Linear(32, 5)

    def forward(self, x):
        return self.head(self.body(self.embed(x) + self.position).mean(1))


class FusedAttention(nn.Module):
    """Queries, keys and values from one linear layer, attention written out, as in a ViT."""

    def __init__(self, width=32, heads=4):
        super().__init__()
        self.heads, self.scale, self.norm1, self.norm2 = heads, (heads / width) ** 0.5, nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        batch, length, _ = x.shape
        query, key, value = self.qkv(self.norm1(x)).reshape(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = (query @ key.transpose(-2, -1) * self.scale).softmax(-1)
        x = x + self.out((scores @ value).transpose(1, 2).reshape(batch, length, -1))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 32, 8, 8), nn.Parameter(torch.zeros(1, 1, 32))
        self.position, self.body = nn.Parameter(torch.zeros(1, 17, 32)), nn.Sequential(FusedAttention(), FusedAttention())
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.body(x))[:, 0])


class EinsumAttention(nn.Module):
    """Multi-query attention by einsum."""

    def __init__(self):
        super().__init__()
        self.embed, self.query, self.key, self.value = nn.Linear(8, 24), nn.Linear(24, 24), nn.Linear(24, 24), nn.Linear(24, 24)
        self.mix, self.head = nn.Parameter(torch.zeros(4, 6, 24)), nn.Linear(24, 5)

    def forward(self, x):
        x = torch.relu(self.embed(x))
        query, key, value = (layer(x).unflatten(-1, (4, 6)) for layer in (self.query, self.key, self.value))
        scores = torch.einsum("nqhd,nkhd->nhqk", query, key).softmax(-1)
        mixed = torch.einsum("nhqk,nkhd->nqhd", scores, value)
        return self.head((x + torch.einsum("nqhd,hdm->nqm", mixed, self.mix)).mean(1))


class Classifier(nn.Module):
    """An embedding of tokens, convolutions over them and a gate (Dauphin et al. 2017)."""

    def __init__(self):
        super().__init__()
        self.embed, self.first, self.second = nn.Embedding(WORDS, 24), nn.Conv1d(24, 48, 3, padding=1), nn.Conv1d(24, 48, 3, padding=1)
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        x = self.embed(x.long()).transpose(1, 2)
        x = x + F.glu(self.first(x), 1)
        value, gate = self.second(x).chunk(2, 1)
        return self.head((value * torch.sigmoid(gate)).mean(2))


class TiedAutoencoder(nn.Module):
    """What encodes also decodes, transposed."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(96, 40), nn.Linear(40, 16)

    def forward(self, x):
        x = torch.relu(self.second(torch.relu(self.first(x.flatten(1)))))
        return F.linear(torch.relu(F.linear(x, self.second.weight.t())), self.first.weight.t())


class Mixer(nn.Module):
    """MLP-Mixer: linear layers over places, then over channels."""

    def __init__(self):
        super().__init__()
        self.patches, self.norm1, self.norm2 = nn.Conv2d(3, 24, 8, 8), nn.LayerNorm(24), nn.LayerNorm(24)
        self.places = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.channels = nn.Sequential(nn.Linear(24, 48), nn.GELU(), nn.Linear(48, 24))
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.places(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return self.head((x + self.channels(self.norm2(x))).mean(1))


class SpatialAttention(nn.Module):
    """CBAM: a gate a place from mean and maximum over channels."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.gate = conv(3, 16), conv(16, 24), nn.Conv2d(2, 1, 7, padding=3)
        self.third, self.head = conv(24, 24), head(24)

    def forward(self, x):
        x = self.second(self.first(x))
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return self.head(self.third(x * torch.sigmoid(self.gate(seen))))


def sequence(*layers):
    return lambda: nn.Sequential(*(layer() for layer in layers))


IMAGES = {
    "plain": lambda: nn.Sequential(
        conv(3, 16), conv(16, 24, 3, 2), conv(24, 32, 3, 4), nn.Flatten(), nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, 5)
    ),
    "residual": lambda: nn.Sequential(conv(3, 16), Residual(16, 16), Residual(16, 24, 2), head(24)),
    "pre_activation": lambda: nn.Sequential(nn.Conv2d(3, 16, 3), PreActivation(16), PreActivation(16), head(16)),
    "grouped_residual": lambda: nn.Sequential(conv(3, 16), Residual(16, 24, 2, groups=4), Residual(24, 24, groups=4), head(24)),
    "dense": lambda: nn.Sequential(conv(3, 16, 3, 2), Dense(16, 8, 3), conv(40, 20, 1), Dense(20, 8, 2), head(36)),
    "inception": lambda: nn.Sequential(conv(3, 16, 3, 2), Inception(16), Inception(32), head(32)),
    "inverted_residual": lambda: nn.Sequential(conv(3, 12, 3, 2), InvertedResidual(12), InvertedResidual(12), head(12)),
    "squeeze_excite": lambda: nn.Sequential(conv(3, 12, 3, 2), InvertedResidual(12, True), InvertedResidual(12, True), head(12)),
    "shuffle": lambda: nn.Sequential(conv(3, 24, 3, 2), ShuffleUnit(24), ShuffleUnit(24), conv(24, 32, 1), head(32)),
    "ghost": lambda: nn.Sequential(conv(3, 16, 3, 2), Ghost(16, 32), Ghost(32, 24), head(24)),
    "group_norm": lambda: nn.Sequential(
        nn.Conv2d(3, 24, 3), nn.GroupNorm(8, 24), nn.SiLU(), nn.Conv2d(24, 32, 3), nn.GroupNorm(8, 32), nn.SiLU(), head(32)
    ),
    "super_resolution": lambda: nn.Sequential(
        conv(3, 16), conv(16, 24), nn.Conv2d(24, 64, 3, padding=1), nn.PixelShuffle(2), nn.Conv2d(16, 3, 3, padding=1)
    ),
    "u_net": UNet,
    "siamese": Siamese,
    "spatial_attention": SpatialAttention,
    "vision_transformer": VisionTransformer,
    "mixer": Mixer,
}

ARCHITECTURES: dict[str, Architecture] = {
    **{name: Architecture(build) for name, build in IMAGES.items()},
    "tied_autoencoder": Architecture(TiedAutoencoder, (12, 8)),
    "lstm": Architecture(lambda: Recurrent(nn.LSTM), (12, 8)),
    "gru": Architecture(lambda: Recurrent(nn.GRU), (12, 8)),
    "deep_lstm": Architecture(lambda: Recurrent(nn.LSTM, num_layers=2, bidirectional=True), (12, 8)),
    "sound_gru": Architecture(SoundRecurrent, (1, 400)),
    "transformer": Architecture(lambda: Encoder(norm_first=False), (12, 8)),
    "transformer_norm_first": Architecture(lambda: Encoder(norm_first=True), (12, 8)),
    "einsum_attention": Architecture(EinsumAttention, (12, 8)),
    "gated_text": Architecture(Classifier, (12,), tokens=True),
}
