"""Whole networks put together at random: what lies where in memory, what overlaps, and who still needs it."""

import numpy as np
import pytest
from compiler_networks import extent
from tflite_files import Builder, assert_exact


class Network:
    """Grows layer by layer from the last tensor; earlier tensors may be used again."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.builder = Builder()
        shape = (1, int(self.random.integers(4, 12)), int(self.random.integers(4, 12)), int(self.random.integers(1, 9)))
        self.shapes = {self.builder.input(shape): shape}
        self.last = 0

    def add(self, name, inputs, shape, options=None, scale=(0.05, 3), **values):
        made = self.builder.tensor(shape, "int8", *scale)
        self.builder.operator(name, inputs, [made], options, **values)
        self.shapes[made] = tuple(shape)
        self.last = made

    def convolve(self, depthwise):
        _, height, width, depth = self.shapes[self.last]
        taps, stride = int(self.random.choice([1, 3, 5])), int(self.random.integers(1, 3))
        channels = depth if depthwise else int(self.random.integers(1, 13))
        form, axis = ((1, taps, taps, depth), 3) if depthwise else ((channels, taps, taps, depth), 0)
        scale = self.random.uniform(0.002, 0.01, channels)
        weights = self.builder.constant(self.random.integers(-127, 128, form), "int8", scale=scale, axis=axis)
        bias = self.builder.constant(self.random.integers(-500, 500, channels), scale=scale * 0.05)
        shape = (1, extent(height, taps, stride, 1, 0), extent(width, taps, stride, 1, 0), channels)
        kind = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
        more = {"depthMultiplier": 1} if depthwise else {}
        name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        activation = int(self.random.integers(0, 2))
        self.add(name, [self.last, weights, bias], shape, kind, strideH=stride, strideW=stride, fusedActivationFunction=activation, **more)

    def combine(self):
        shape = self.shapes[self.last]
        others = [index for index, other in self.shapes.items() if other == shape]
        name = str(self.random.choice(["ADD", "SUB", "MUL"]))
        self.add(name, [self.last, int(self.random.choice(others))], shape, f"{name.capitalize()}Options")

    def join(self):
        shape = self.shapes[self.last]
        others = [index for index, other in self.shapes.items() if other[:3] == shape[:3]]
        chosen = [self.last, int(self.random.choice(others))]
        made = (*shape[:3], sum(self.shapes[index][3] for index in chosen))
        self.add("CONCATENATION", chosen, made, "ConcatenationOptions", axis=3)

    def pool(self):
        _, height, width, depth = self.shapes[self.last]
        shape = (1, extent(height, 2, 2, 1, 0), extent(width, 2, 2, 1, 0), depth)
        name = str(self.random.choice(["MAX_POOL_2D", "AVERAGE_POOL_2D"]))
        self.add(name, [self.last], shape, "Pool2DOptions", strideH=2, strideW=2, filterHeight=2, filterWidth=2)

    def pad(self):
        _, height, width, depth = self.shapes[self.last]
        paddings = self.builder.constant([[0, 0], [1, 0], [0, 2], [0, 0]])
        self.add("PAD", [self.last, paddings], (1, height + 1, width + 2, depth))

    def clip(self):
        self.add("RELU", [self.last], self.shapes[self.last])

    def grow(self, layers):
        steps = [lambda: self.convolve(False), lambda: self.convolve(True), self.combine, self.join, self.pool, self.pad, self.clip]
        for _ in range(layers):
            steps[int(self.random.choice(7, p=[0.3, 0.2, 0.2, 0.1, 0.05, 0.05, 0.1]))]()
        size = int(np.prod(self.shapes[self.last]))
        self.add("RESHAPE", [self.last, self.builder.constant([1, size])], (1, size))
        weights = self.builder.constant(self.random.integers(-127, 128, (5, size)), "int8", scale=0.005)
        bias = self.builder.constant(self.random.integers(-500, 500, 5), scale=0.00025)
        self.add("FULLY_CONNECTED", [self.last, weights, bias], (1, 5), "FullyConnectedOptions", scale=(0.1, -5))
        self.add("SOFTMAX", [self.last], (1, 5), "SoftmaxOptions", scale=(1 / 256, -128), beta=1.0)
        return self.builder


def check(seeds, folder):
    files = {str(seed): Network(seed).grow(3 + seed % 12).write(folder / f"{seed}.tflite") for seed in seeds}
    assert_exact(files, folder, count=2)


def test_random_networks(tmp_path):
    check(range(15), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(100, 600, 50))
def test_five_hundred_random_networks(start, tmp_path):
    check(range(start, start + 50), tmp_path)
