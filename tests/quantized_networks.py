"""Networks for quantization and export tests: an operator or a small combination each, with fixed weights and random samples."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from compress.context import Context
from compress.data.base import Data, Split
from compress.metrics import metric
from compress.model import Model, capture


class Network(nn.Module):
    """Layers in order, and a function that uses them."""

    def __init__(self, forward, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = forward

    def forward(self, x):
        return self.function(x, *self.layers)


@dataclass(frozen=True)
class Case:
    """A network: the shape of a sample, a builder, and the TFLite operators it should become."""

    shape: tuple[int, ...]
    build: Callable[[], nn.Module]
    operators: tuple[str, ...]


IMAGE, VECTOR, SEQUENCE = (4, 8, 8), (12,), (3, 12)


def image(function, *operators, channels=4):
    """What comes after a 1x1 convolution, so that it starts from integers that were computed."""
    return Case(IMAGE, lambda: Network(lambda x, conv: function(conv(x), x), nn.Conv2d(4, channels, 1)), ("CONV_2D", *operators))


def convolution(*operators, **options):
    return Case(IMAGE, lambda: Network(lambda x, conv: conv(x), nn.Conv2d(4, **{"kernel_size": 3, **options})), operators)


CASES = {
    "conv2d": convolution("CONV_2D", out_channels=6, padding=1),
    "conv2d without bias": convolution("CONV_2D", out_channels=6, bias=False),
    "conv2d dilated": convolution("CONV_2D", out_channels=6, dilation=2, padding=2),
    "conv2d grouped": convolution("CONV_2D", out_channels=6, groups=2),
    "conv2d depthwise": convolution("DEPTHWISE_CONV_2D", out_channels=8, groups=4, padding=1),
    "conv2d strided": convolution("PAD", "CONV_2D", out_channels=6, stride=2, padding=1),
    "linear": Case(VECTOR, lambda: Network(lambda x, linear: F.relu(linear(x)), nn.Linear(12, 5)), ("FULLY_CONNECTED",)),
    "conv2d padded as TensorFlow does": Case(
        IMAGE, lambda: Network(lambda x, conv: conv(F.pad(x, (0, 1, 0, 1))), nn.Conv2d(4, 6, 3, stride=2)), ("CONV_2D",)
    ),
    "flatten and linear": Case(
        IMAGE,
        lambda: Network(lambda x, conv, linear: linear(conv(x).flatten(1)), nn.Conv2d(4, 3, 3), nn.Linear(108, 5)),
        ("CONV_2D", "RESHAPE", "FULLY_CONNECTED"),
    ),
    "add": image(lambda y, x: y + x, "ADD"),
    "add and relu": image(lambda y, x: F.relu(y + x), "ADD"),
    "sub": image(lambda y, x: y - x, "SUB"),
    "mul": image(lambda y, x: y * x, "MUL"),
    "add a number": image(lambda y, _: y + 2.5, "ADD"),
    "a number minus": image(lambda y, _: 1 - y, "SUB"),
    "div by a number": image(lambda y, _: y / 3, "MUL"),
    "cat": image(lambda y, x: torch.cat([y, x], 1), "CONCATENATION"),
    "split": image(lambda y, _: y[:, :2] + y[:, 2:], "SLICE", "SLICE", "ADD"),
    "pad": image(lambda y, _: F.pad(y, (1, 2, 0, 1)), "PAD"),
    "squeeze": Case(
        IMAGE, lambda: Network(lambda x, conv: conv(x).squeeze(3).squeeze(2), nn.Conv2d(4, 5, 8)), ("CONV_2D", "RESHAPE")
    ),
    "mean": image(lambda y, _: y.mean((2, 3)), "MEAN"),
    "sum": image(lambda y, _: y.sum((2, 3)), "SUM", "RESHAPE"),
    "max pool": image(lambda y, _: F.max_pool2d(y, 2), "MAX_POOL_2D"),
    "average pool": image(lambda y, _: F.avg_pool2d(y, 2), "AVERAGE_POOL_2D"),
    "average pool of all": image(lambda y, _: F.avg_pool2d(y, 8).flatten(1), "MEAN"),
    "adaptive pool": image(lambda y, _: F.adaptive_avg_pool2d(y, 1).flatten(1), "MEAN"),
    "nearest": image(lambda y, _: F.interpolate(y, scale_factor=2), "RESIZE_NEAREST_NEIGHBOR"),
    "bilinear": image(lambda y, _: F.interpolate(y, scale_factor=2, mode="bilinear"), "RESIZE_BILINEAR"),
    "relu6": image(lambda y, _: F.relu6(y)),
    "hardtanh": image(lambda y, _: F.hardtanh(y)),
    "relu that others read past": image(lambda y, _: F.relu(y) + y, "RELU", "ADD"),
    "leaky relu": image(lambda y, _: F.leaky_relu(y, 0.1), "LEAKY_RELU"),
    "hardswish": image(lambda y, _: F.hardswish(y), "HARD_SWISH"),
    "hardsigmoid": image(lambda y, _: F.hardsigmoid(y), "ADD", "MUL"),
    "sigmoid": image(lambda y, _: torch.sigmoid(y), "LOGISTIC"),
    "silu": image(lambda y, _: F.silu(y), "LOGISTIC", "MUL"),
    "gelu": image(lambda y, _: F.gelu(y), "GELU"),
    "tanh": image(lambda y, _: torch.tanh(y), "TANH"),
    "softmax": Case(
        VECTOR, lambda: Network(lambda x, linear: F.softmax(linear(x), 1), nn.Linear(12, 5)), ("FULLY_CONNECTED", "SOFTMAX")
    ),
    "log softmax": Case(
        VECTOR, lambda: Network(lambda x, linear: F.log_softmax(linear(x), 1), nn.Linear(12, 5)), ("FULLY_CONNECTED", "LOG_SOFTMAX")
    ),
    "batch norm first": Case(
        IMAGE, lambda: Network(lambda x, norm, conv: conv(F.relu(norm(x))), trained(nn.BatchNorm2d(4)), nn.Conv2d(4, 4, 1)),
        ("DEPTHWISE_CONV_2D", "CONV_2D"),
    ),
    "batch norm of vectors": Case(
        VECTOR, lambda: Network(lambda x, norm, linear: linear(norm(x)), trained(nn.BatchNorm1d(12)), nn.Linear(12, 4)),
        ("MUL", "ADD", "FULLY_CONNECTED"),
    ),
    "cat of softmax": Case(
        VECTOR, lambda: Network(lambda x, linear: torch.cat([F.softmax(linear(x), 1), x], 1), nn.Linear(12, 12)),
        ("FULLY_CONNECTED", "SOFTMAX", "QUANTIZE", "CONCATENATION"),
    ),
    "conv transpose": Case(IMAGE, lambda: Network(lambda x, conv: conv(x), nn.ConvTranspose2d(4, 6, 2, stride=2)), ("TRANSPOSE_CONV",)),
    "conv transpose padded": Case(
        IMAGE, lambda: Network(lambda x, conv: conv(x), nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1, bias=False)), ("TRANSPOSE_CONV",)
    ),
    "prelu": Case(
        IMAGE, lambda: Network(lambda x, conv, prelu: prelu(conv(x)), nn.Conv2d(4, 4, 1), nn.PReLU(4)), ("CONV_2D", "PRELU")
    ),
    "prelu of vectors": Case(
        VECTOR, lambda: Network(lambda x, linear, prelu: prelu(linear(x)), nn.Linear(12, 4), nn.PReLU(4)), ("FULLY_CONNECTED", "PRELU")
    ),
    "pixel shuffle": image(lambda y, _: F.pixel_shuffle(F.relu(y), 2), "DEPTH_TO_SPACE", channels=8),
    "pixel shuffle of one channel": image(lambda y, x: F.pixel_shuffle(y + x, 2), "ADD", "DEPTH_TO_SPACE"),
    "pixel shuffle of a sum": Case(
        (8, 4, 4), lambda: Network(lambda x, conv: conv(F.pixel_shuffle(x + x, 2)), nn.Conv2d(2, 2, 1)),
        ("ADD", "GATHER", "DEPTH_TO_SPACE", "CONV_2D"),
    ),
    "dropout": image(lambda y, _: F.dropout(y, training=False)),
}  # fmt: skip


def trained(norm):
    """A BatchNorm that has seen something."""
    for tensor, low, high in ((norm.running_mean, -1, 1), (norm.running_var, 0.5, 2), (norm.weight, 0.5, 1.5), (norm.bias, -1, 1)):
        nn.init.uniform_(tensor, low, high)
    return norm


def samples(shape, count=32, seed=0):
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def model_of(build, shape) -> Model:
    """The captured network, with weights that are the same every time."""
    torch.manual_seed(0)
    return capture(build(), (torch.from_numpy(samples(shape, 1)),), "network")


def split_of(inputs, labels=None) -> Split:
    labels = np.zeros(len(inputs), np.int64) if labels is None else labels
    return Split(len(inputs), lambda numbers: ((inputs[numbers],), labels[numbers]))


def context_of(model: Model, inputs) -> Context:
    split = split_of(inputs)
    return Context(Data("random", split, split, split, "random"), model, metric("accuracy"))


def run_file(artifact, inputs):
    """The file's first output for every sample, as real numbers in the network's own layout."""
    if artifact.format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(artifact.path))
        return session.run(None, {artifact.inputs[0].name: inputs})[0]
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(artifact.path))
    interpreter.allocate_tensors()
    (source,), target = interpreter.get_input_details(), interpreter.get_output_details()[0]
    rows = []
    for sample in inputs:
        interpreter.set_tensor(source["index"], artifact.inputs[0].encode(sample[None]))
        interpreter.invoke()
        rows.append(artifact.outputs[0].decode(interpreter.get_tensor(target["index"])))
    return np.concatenate(rows)
