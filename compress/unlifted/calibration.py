"""What calibration samples show of a TFLite file's values."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from compress.comparing.litert import LitertFile
from compress.context import Context
from compress.data.base import Array
from compress.model import Model
from compress.quantization.observation import counts
from compress.quantization.ranges import Histogram
from compress.quantization.static import batch_size, batches
from compress.reading.layout import arrange
from targets.errors import UserError
from targets.formats.tflite import Graph, read


def observe(model: Model, graph: Graph, context: Context) -> dict[int, Histogram]:
    """A histogram of each value that the file computes or is given in float32, by its tensor's number, over all calibration samples.

    Memory is that of one batch. UserError where there are no samples, or numbers aren't finite.
    """
    calibration = context.data.calibration
    if calibration.samples == 0:
        raise UserError("quantize: there are no calibration samples; set 'calibration' under 'data' to 100 or more")
    artifact = read(graph.path)
    file = LitertFile(artifact)
    indices = [*graph.inputs, *(index for each in graph.operators for index in each.outputs if graph.tensors[index].data is None)]
    seen = {index: Histogram() for index in indices if graph.tensors[index].dtype == "float32"}
    with context.progress.task("calibrating", calibration.samples) as task:
        for inputs in batches(calibration, batch_size(model), task):
            pairs = zip(artifact.inputs, inputs, strict=True)
            given = [port.encode(arrange(values, port.shape).numpy()) for port, values in pairs]
            samples = [tuple(values[row : row + 1] for values in given) for row in range(len(given[0]))]
            runs = [(*sample, *file.run(sample)) for sample in samples]
            for index, values in zip(indices, zip(*runs, strict=True), strict=True):
                if index in seen:
                    _add(seen[index], values, graph.tensors[index].name)
    return seen


def _add(histogram: Histogram, batch: Sequence[Array], name: str) -> None:
    values = torch.from_numpy(np.concatenate([each.ravel() for each in batch]))
    if not values.numel():
        return
    low, high = (float(end) for end in torch.aminmax(values))
    if not math.isfinite(high - low):
        raise UserError(f"quantize: tensor '{name}' has numbers that aren't finite for calibration samples; check 'data'")
    histogram.add(lambda span: counts(values, span), low, high)
