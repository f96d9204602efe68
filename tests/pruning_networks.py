"""What the tests of pruning and training share."""

import hashlib

import torch
from torch import nn
from torch.nn import functional


def digest(model):
    """A hash of a model's code, shapes and weights."""
    state = hashlib.sha256(model.graph.code.encode())
    for node in model.graph.graph.nodes:
        state.update(f"{node.name} {node.args} {node.meta.get('val')}".encode())
    for name, tensor in model.graph.state_dict().items():
        state.update(name.encode() + tensor.numpy().tobytes())
    return state.hexdigest()


def settle(module, seed=0):
    """Gives normalization layers statistics, scales and shifts that are not the trivial ones."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm | nn.BatchNorm1d):
            for name, tensor in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)):
                if tensor.is_floating_point():
                    values = torch.rand(tensor.shape, generator=generator)
                    tensor.data.copy_(values + 0.5 if name in ("weight", "running_var") else values - 0.5)
    return module


def conv(channels, width, size=3, **options):
    return nn.Sequential(nn.Conv2d(channels, width, size, padding=size // 2, **options), nn.BatchNorm2d(width), nn.ReLU())


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(conv(channels, channels + 2), nn.Conv2d(channels + 2, channels, 3, padding=1))

    def forward(self, x):
        return torch.relu(x + self.body(x))


class OptionA(nn.Module):
    """A shortcut that takes every second pixel and pads the new channels with zeros (He et al. 2016)."""

    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, channels + 4, 3, stride=2, padding=1), nn.BatchNorm2d(channels + 4))

    def forward(self, x):
        return torch.relu(self.body(x) + functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)))


class Dense(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = conv(channels, 5)

    def forward(self, x):
        return torch.cat([x, self.body(x)], 1)


class Inception(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.one, self.three = conv(channels, 3, 1), nn.Sequential(conv(channels, 4, 1), conv(4, 4))
        self.pooled = conv(channels, 3, 1)

    def forward(self, x):
        pooled = functional.avg_pool2d(x, 3, stride=1, padding=1)
        return torch.cat([self.one(x), self.three(x), self.pooled(pooled)], 1)


class InvertedResidual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        wide = 2 * channels
        self.body = nn.Sequential(conv(channels, wide, 1), conv(wide, wide, groups=wide), nn.Conv2d(wide, channels, 1))

    def forward(self, x):
        return x + self.body(x)


class SqueezeExcite(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.up(torch.relu(self.down(functional.adaptive_avg_pool2d(x, 1)))))


class Shuffle(nn.Module):
    def forward(self, x):
        batch, channels, height, width = x.shape
        return x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)


class Gated(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Conv2d(channels, 12, 1)

    def forward(self, x):
        value, gate = self.body(x).chunk(2, 1)
        return torch.relu(value) * torch.sigmoid(gate)


class Halves(nn.Module):
    """The channel split of ShuffleNetV2: one half goes on as it is."""

    def __init__(self, channels):
        super().__init__()
        self.half = channels // 2
        self.body = conv(channels - self.half, channels - self.half)

    def forward(self, x):
        return torch.cat([x[:, : self.half], self.body(x[:, self.half :])], 1)


class SubPixel(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.body = nn.Conv2d(channels, 20, 3, padding=1)

    def forward(self, x):
        return functional.avg_pool2d(functional.pixel_shuffle(self.body(x), 2), 2)


class Scaled(nn.Module):
    """A scale a channel, as ConvNeXt's layers have, and a shift for all."""

    def __init__(self, channels):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.rand(channels, 1, 1) + 0.5), nn.Parameter(torch.rand(1))

    def forward(self, x):
        return x * self.scale * self.shift


class Spatial(nn.Module):
    """A gate a place, the same for all channels."""

    def __init__(self, channels):
        super().__init__()
        self.gate = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x):
        return x * torch.sigmoid(self.gate(x))


BLOCKS = {
    "plain": lambda c: (conv(c, 6), 6),
    "residual": lambda c: (Residual(c), c),
    "option_a": lambda c: (OptionA(c), c + 4),
    "dense": lambda c: (Dense(c), c + 5),
    "inception": lambda c: (Inception(c), 10),
    "inverted": lambda c: (InvertedResidual(c), c),
    "squeeze": lambda c: (SqueezeExcite(c), c),
    "shuffle": lambda c: (nn.Sequential(conv(c, 8), Shuffle(), conv(8, 8, groups=2)), 8),
    "grouped": lambda c: (nn.Sequential(conv(c, 8), conv(8, 12, groups=4), conv(12, 8, 1), conv(8, 6, groups=2)), 6),
    "multiplied": lambda c: (nn.Conv2d(c, 2 * c, 3, padding=1, groups=c), 2 * c),
    "gated": lambda c: (Gated(c), 6),
    "halves": lambda c: (Halves(c), c),
    "transposed": lambda c: (nn.Sequential(nn.ConvTranspose2d(c, 6, 2, stride=2), nn.ReLU(), nn.MaxPool2d(2)), 6),
    "transposed_groups": lambda c: (nn.Sequential(conv(c, 6), nn.ConvTranspose2d(6, 6, 3, padding=1, groups=6)), 6),
    "group_norm": lambda c: (nn.Sequential(nn.Conv2d(c, 12, 1), nn.GroupNorm(4, 12), nn.PReLU(12)), 12),
    "upsampled": lambda c: (nn.Sequential(nn.Upsample(scale_factor=2), conv(c, 5), nn.AvgPool2d(2)), 5),
    "sub_pixel": lambda c: (SubPixel(c), 5),
    "scaled": lambda c: (Scaled(c), c),
    "spatial": lambda c: (Spatial(c), c),
    "padded": lambda c: (nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(c, 7, 3), nn.ZeroPad2d((0, 1, 0, 1)), nn.AvgPool2d(2, 1)), 7),
}


class Network(nn.Module):
    """Blocks of `BLOCKS` one after the other, from 3 channels to 4 outputs; `flat` ends in flatten and two linear layers."""

    def __init__(self, blocks, flat, seed):
        super().__init__()
        torch.manual_seed(seed)
        layers, channels = [conv(3, 8)], 8
        for name in blocks:
            block, channels = BLOCKS[name](channels)
            layers.append(block)
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2))
        self.flat = flat
        self.head = nn.Sequential(nn.Linear(4 * channels, 6), nn.ReLU(), nn.Linear(6, 4)) if flat else nn.Linear(channels, 4)
        settle(self, seed)

    def forward(self, x):
        x = self.body(x)
        return self.head(x.flatten(1) if self.flat else x.mean((2, 3)))
