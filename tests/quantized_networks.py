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
    """A network: the shape of a sample, a builder, and the TFLite operators it should become.

    Samples are real numbers, or whole ones below `words` where that is set.
    """

    shape: tuple[int, ...]
    build: Callable[[], nn.Module]
    operators: tuple[str, ...]
    words: int = 0

    def model(self):
        """The captured network."""
        return model_of(self.build, self.shape, self.words)

    def samples(self, count=32, seed=0):
        """Random samples, the same every time."""
        return samples(self.shape, count, seed, self.words)


IMAGE, VECTOR, SEQUENCE, SIGNAL = (4, 8, 8), (12,), (3, 12), (4, 16)
ARITHMETIC = {"float32", "float16", "float64"}
NORMALIZED = ("QUANTIZE", "MEAN", "SUB", "MUL", "MEAN", "SUB", "RSQRT", "MUL", "MUL", "SUB", "QUANTIZE")
"""A layer norm, 16 bits inside."""

LSTM_START = (
    *("SLICE", "RESHAPE", "SLICE", "SLICE", "SLICE", "QUANTIZE", "LOGISTIC", "QUANTIZE", "TANH", "MUL"),
    *("QUANTIZE", "LOGISTIC", "TANH", "MUL"),
)
LSTM_STEP = (
    *("SLICE", "RESHAPE", "QUANTIZE", "FULLY_CONNECTED", "QUANTIZE", "QUANTIZE", "ADD", "SLICE", "SLICE", "SLICE", "SLICE"),
    *("LOGISTIC", "TANH", "MUL", "LOGISTIC", "MUL", "ADD", "LOGISTIC", "TANH", "MUL"),
)
GRU_START = (
    *("SLICE", "RESHAPE", "SLICE", "SLICE", "SLICE", "QUANTIZE", "LOGISTIC", "QUANTIZE", "LOGISTIC", "MUL"),
    *("QUANTIZE", "ADD", "TANH", "MUL", "SUB"),
)
GRU_STEP = (
    *("SLICE", "RESHAPE", "SLICE", "SLICE", "SLICE", "QUANTIZE", "FULLY_CONNECTED", "SLICE", "SLICE", "SLICE"),
    *("QUANTIZE", "QUANTIZE", "ADD", "QUANTIZE", "QUANTIZE", "ADD"),
    *("LOGISTIC", "LOGISTIC", "QUANTIZE", "MUL", "QUANTIZE", "ADD", "TANH", "SUB", "MUL", "ADD"),
)
HEADS = (
    *("RESHAPE", "TRANSPOSE", "RESHAPE", "SLICE", "SLICE", "SLICE", "RESHAPE", "TRANSPOSE", "RESHAPE", "TRANSPOSE", "RESHAPE", "TRANSPOSE"),
    *("RESHAPE", "MUL", "TRANSPOSE", "RESHAPE", "RESHAPE", "BATCH_MATMUL", "RESHAPE", "SOFTMAX", "RESHAPE", "BATCH_MATMUL", "RESHAPE"),
    *("TRANSPOSE", "RESHAPE"),
)
"""Several heads of attention after the linear layer that makes queries, keys and values at once, as PyTorch writes it."""


def sequence(function, *operators, layers=list):
    """What comes after a linear layer for each step."""
    return Case(SEQUENCE, lambda: Network(lambda x, linear, *rest: function(linear(x), x, *rest), nn.Linear(12, 12), *layers()), operators)


def signal(function, layers, *operators):
    """Layers of one axis, then a mean over it."""
    build = lambda: Network(lambda x, *given: function(x, *given).mean(2), *layers())  # noqa: E731  built by whoever asks
    return Case(SIGNAL, build, ("RESHAPE", "TRANSPOSE", *operators, "MEAN"))


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
    "linear on one pixel": Case(
        IMAGE,
        lambda: Network(lambda x, conv, *two: two[1](two[0](conv(x).permute(0, 2, 3, 1)).relu()).permute(0, 3, 1, 2),
                        nn.Conv2d(4, 6, 8), nn.Linear(6, 8), nn.Linear(8, 5)),
        ("CONV_2D", "FULLY_CONNECTED", "FULLY_CONNECTED"),
    ),
    "scaled linear on one pixel": Case(
        IMAGE,
        lambda: Network(lambda x, conv, linear, scale: (linear(conv(x).permute(0, 2, 3, 1)) * scale.weight).permute(0, 3, 1, 2),
                        nn.Conv2d(4, 6, 8), nn.Linear(6, 5, bias=False), nn.PReLU(5)),
        ("CONV_2D", "FULLY_CONNECTED", "MUL", "RESHAPE"),
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
    "div": image(lambda y, x: y / (x * x + 1), "MUL", "ADD", "DIV", "MUL"),
    "chunk": image(lambda y, _: torch.mul(*y.chunk(2, 1)), "SLICE", "SLICE", "MUL"),
    "split in two": image(lambda y, _: torch.cat(y.split([1, 3], 1)[::-1], 1), "SLICE", "SLICE", "CONCATENATION"),
    "conv transpose with output padding": Case(
        IMAGE, lambda: Network(lambda x, conv: conv(x), nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1)),
        ("TRANSPOSE_CONV",),
    ),
    "conv transpose grouped": Case(
        IMAGE, lambda: Network(lambda x, conv: conv(x), nn.ConvTranspose2d(4, 4, 4, stride=2, padding=2, groups=4)),
        ("TRANSPOSE_CONV", "SLICE"),
    ),
    "conv1d": signal(lambda x, conv: conv(x), lambda: [nn.Conv1d(4, 6, 3, padding=1)], "CONV_2D"),
    "layers of one axis": signal(
        lambda x, conv, norm, other: F.max_pool1d(F.relu(other(F.relu(norm(conv(x))))), 2),
        lambda: [nn.Conv1d(4, 6, 3, stride=2), trained(nn.BatchNorm1d(6)), nn.Conv1d(6, 6, 3, groups=6, dilation=2, padding=2)],
        "CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D",
    ),
    "conv transpose of one axis": signal(
        lambda x, conv: F.avg_pool1d(F.relu(conv(x)), 3), lambda: [nn.ConvTranspose1d(4, 6, 2, stride=2)],
        "TRANSPOSE_CONV", "RELU", "AVERAGE_POOL_2D",
    ),
    "matmul": sequence(lambda y, x: y @ x.transpose(1, 2), "FULLY_CONNECTED", "RESHAPE", "FULLY_CONNECTED"),
    "transpose": sequence(lambda y, _: y.transpose(1, 2), "FULLY_CONNECTED", "TRANSPOSE"),
    "sum of steps": sequence(lambda y, _: y.sum(1), "FULLY_CONNECTED", "SUM"),
    "max pool padded": image(lambda y, _: F.max_pool2d(y, 3, 2, 1), "PADV2", "MAX_POOL_2D"),
    "max pool in part": image(lambda y, _: F.max_pool2d(y, 3, 2, ceil_mode=True), "MAX_POOL_2D"),
    "average pool padded": image(lambda y, _: F.avg_pool2d(y, 3, 2, 1), "PAD", "AVERAGE_POOL_2D"),
    "average pool that counts": image(lambda y, _: F.avg_pool2d(y, 3, 2, 1, count_include_pad=False), "PAD", "AVERAGE_POOL_2D", "MUL"),
    "average pool in part": image(lambda y, _: F.avg_pool2d(y, 3, 2, ceil_mode=True), "PAD", "AVERAGE_POOL_2D", "MUL"),
    "adaptive pool to four": image(lambda y, _: F.adaptive_avg_pool2d(y, 2), "AVERAGE_POOL_2D"),
    "adaptive max pool": image(lambda y, _: F.adaptive_max_pool2d(y, 2), "MAX_POOL_2D"),
    "layer norm": sequence(lambda y, _, norm: norm(y), "FULLY_CONNECTED", *NORMALIZED, layers=lambda: [nn.LayerNorm(12)]),
    "attention": sequence(
        lambda y, x: F.scaled_dot_product_attention(y, x, x), "RESHAPE", "FULLY_CONNECTED", "MUL", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX",
        "TRANSPOSE", "FULLY_CONNECTED",
    ),
    "attention to the past": sequence(
        lambda y, x: F.scaled_dot_product_attention(y, x, x, is_causal=True), "RESHAPE", "FULLY_CONNECTED", "MUL", "RESHAPE",
        "FULLY_CONNECTED", "QUANTIZE", "SUB", "SOFTMAX", "QUANTIZE", "TRANSPOSE", "FULLY_CONNECTED",
    ),
    "embedding": Case(
        (5,), lambda: Network(lambda x, table, linear: linear(table(x)), nn.Embedding(20, 8), nn.Linear(8, 3)),
        ("GATHER", "FULLY_CONNECTED"), words=20,
    ),
    "lstm": Case(
        SEQUENCE, lambda: Network(lambda x, lstm: lstm(x)[0], nn.LSTM(12, 8, batch_first=True)),
        ("FULLY_CONNECTED", *LSTM_START, *LSTM_STEP, *LSTM_STEP, "QUANTIZE", "CONCATENATION", "RESHAPE"),
    ),
    "gru": Case(
        SEQUENCE, lambda: Network(lambda x, gru: gru(x)[0], nn.GRU(12, 8, batch_first=True)),
        ("FULLY_CONNECTED", *GRU_START, *GRU_STEP, *GRU_STEP, "QUANTIZE", "CONCATENATION", "RESHAPE"),
    ),
    "transformer encoder": Case(
        SEQUENCE, lambda: Network(lambda x, layer: layer(x), nn.TransformerEncoderLayer(12, 3, 24, batch_first=True)),
        ("RESHAPE", "FULLY_CONNECTED", *HEADS, "FULLY_CONNECTED", "ADD", *NORMALIZED,
         "FULLY_CONNECTED", "FULLY_CONNECTED", "ADD", *NORMALIZED),
    ),
    "dropout": image(lambda y, _: F.dropout(y, training=False)),
}  # fmt: skip


def trained(norm):
    """A BatchNorm that has seen something."""
    for tensor, low, high in ((norm.running_mean, -1, 1), (norm.running_var, 0.5, 2), (norm.weight, 0.5, 1.5), (norm.bias, -1, 1)):
        nn.init.uniform_(tensor, low, high)
    return norm


def samples(shape, count=32, seed=0, words=0):
    if words:
        return np.random.default_rng(seed).integers(0, words, (count, *shape))
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def model_of(build, shape, words=0) -> Model:
    """The captured network, with weights that are the same every time."""
    torch.manual_seed(0)
    return capture(build(), (torch.from_numpy(samples(shape, 1, words=words)),), "network")


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
