"""The quickstart's network: a small residual CNN for scikit-learn's 8x8 handwritten digits."""

import torch
from torch import nn


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution that keeps the image's size (divided by the stride), and BatchNorm."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """Residual block of two 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second, self.relu = conv(channels, channels), conv(channels, channels), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] to the same shape."""
        return self.relu(x + self.second(self.relu(self.first(x))))


class DigitsNet(nn.Module):
    """[N, 1, 8, 8] grey values 0..1 to [N, 10] logits: residual, strided, depthwise and pointwise convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(1, 32), nn.ReLU())
        self.block1 = Block(32)
        self.down1 = nn.Sequential(conv(32, 64, stride=2), nn.ReLU())
        self.separable = nn.Sequential(conv(64, 64, groups=64), nn.ReLU(), conv(64, 64, kernel=1), nn.ReLU())
        self.block2 = Block(64)
        self.down2 = nn.Sequential(conv(64, 128, stride=2), nn.ReLU())
        self.classify = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the ten digits."""
        x = self.block1(self.stem(x))
        x = self.block2(self.separable(self.down1(x)))
        return self.classify(self.down2(x).mean((2, 3)))


def build() -> nn.Module:
    """The untrained network, as recipes name it: `digits.network:build`."""
    return DigitsNet()
