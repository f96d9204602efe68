"""What the pass `correct_bias` does with a quantized TFLite file that isn't lifted."""

from collections import Counter
from collections.abc import Collection
from typing import Any

import numpy as np

from compress.comparing.litert import LitertFile
from compress.data.base import Array, Split
from compress.model import Model
from compress.progress import Progress
from compress.quantization.static import tensors as as_tensors
from compress.reading.layout import arrange
from compress.unlifted.layers import WEIGHTS, layers
from compress.unlifted.network import as_file, held
from compress.unlifted.weights import BIAS
from targets.errors import UserError
from targets.formats import tflite, tflite_objects
from targets.formats.tflite import Graph, Tensor

Means = dict[str, Array]
"""The mean of each output channel of layers, by their names, float64 [channels]."""


def correct(model: Model, content: bytes, calibration: Split, progress: Progress) -> tuple[bytes, list[str]]:
    """A model's quantized file with biases changed by the mean differences of layers' outputs from the float file's, and a line a layer.

    Layer by layer in order, each channel's bias of convolutions and dense layers; outputs are taken after the activation that is part of
    the layer. UserError where no layer has integers, or without calibration samples.
    """
    if calibration.samples == 0:
        raise UserError("correct_bias: there are no calibration samples; set 'calibration' under 'data' to 100 or more")
    file = tflite_objects.read(content)
    with as_file(content) as path:
        biases = _biases(tflite.load(path), file)
    reference = None if model.reference is None else held(model.reference)
    if not biases or reference is None:
        raise UserError("correct_bias: no convolution or dense layer of this network computes with integers; use scheme int8 or int16x8")
    lines = []
    with progress.task("correcting biases", len(biases)) as task:
        wanted = _means(reference.content, biases, calibration)
        for name, bias in biases.items():
            difference = wanted[name] - _means(content, [name], calibration)[name]
            _add(file, bias, difference)
            content = tflite_objects.write(file)
            share = np.sqrt(np.square(difference).mean() / max(np.square(wanted[name]).mean(), 1e-30))
            lines.append(f"{name}: mean error of its channels was {share:.2%} of their means")
            task.advance(note=name)
    return content, lines


def _biases(graph: Graph, file: Any) -> dict[str, Tensor]:
    """Integer biases that no other layer reads, by their layers' names, in the order in which these run."""
    read = Counter(index for operator in graph.operators for index in operator.inputs)
    stored = Counter(tensor.buffer for tensor in file.subgraphs[0].tensors)
    found: dict[str, Tensor] = {}
    for layer in layers(graph):
        place = BIAS.get(layer.operator.name, 2)
        index = layer.operator.inputs[place] if layer.operator.name in WEIGHTS and len(layer.operator.inputs) > place else -1
        own = index >= 0 and read[index] == stored[file.subgraphs[0].tensors[index].buffer] == 1
        if own and graph.tensors[index].dtype in ("int32", "int64") and graph.tensors[index].quantization is not None:
            found[layer.name] = graph.tensors[index]
    return found


def _add(file: Any, bias: Tensor, difference: Array) -> None:
    buffer = file.buffers[file.subgraphs[0].tensors[bias.index].buffer]
    integers = np.asarray(buffer.data, np.uint8).view(bias.dtype)
    scale = 1.0 if bias.quantization is None else bias.quantization.scale.astype(np.float64)
    limits = np.iinfo(bias.dtype)
    moved = np.clip(integers + np.rint(difference / scale), limits.min, limits.max).astype(bias.dtype)
    buffer.data = moved.view(np.uint8)


def _means(content: bytes, names: Collection[str], calibration: Split) -> Means:
    with as_file(content) as path:
        graph, file = tflite.load(path), LitertFile(tflite.read(path))
    tensors = {layer.name: graph.tensors[layer.operator.outputs[0]].name for layer in layers(graph) if layer.name in names}
    places = {tensor.name: number for number, tensor in enumerate(file.tensors)}
    sums: Means = {}
    for inputs, _ in calibration.batches(1):
        pairs = zip(file.artifact.inputs, as_tensors(inputs), strict=True)
        values = file.run(tuple(port.encode(arrange(given, port.shape).numpy()) for port, given in pairs))
        for name, tensor in tensors.items():
            real = file.tensors[places[tensor]].real(values[places[tensor]]).astype(np.float64)
            sums[name] = sums.get(name, np.zeros(real.shape[-1])) + real.reshape(-1, real.shape[-1]).mean(0)
    return {name: total / calibration.samples for name, total in sums.items()}
