"""Where ONNX Runtime's x86 kernels without VNNI may saturate: they sum products of unsigned 8-bit activations and signed 8-bit weights
in pairs, and each pair in a signed 16-bit integer (VPMADDUBSW; Intel, "Nuances of int8 Computations", oneDNN's developer guide)."""

from dataclasses import dataclass

import numpy as np

from compress.agreement.integer_layers import IntegerLayer, Optimized, Watch, optimize
from compress.agreement.patches import patches
from compress.data.base import Split
from compress.measuring import encoded
from compress.progress import Progress
from targets.base import Array, Artifact

LEAST, MOST = -(1 << 15), (1 << 15) - 1
BRIGHTEST = 255
SAMPLES = 20
"""How many samples the sums are computed on: in numpy each takes as long as hundreds of inferences."""
CURE = (
    "set ONNX Runtime's session option session.x64quantprecision to 1 on such processors (in edgepress: --set kernels=precise), or keep "
    "weights between -64 and 64 (reduce_range of onnxruntime.quantization), or ship the .tflite file"
)


@dataclass(frozen=True)
class Exposed:
    """A layer whose sums of two products can leave int16 on some activations.

    `able` of `pairs` pairs of neighbouring weights can. On the samples, `touched` is the share of the layer's outputs of which a sum
    did leave it, and `largest` how far such an output is from the right one at most, in integer steps and before it is cut to its own
    range, as if the layers before it were right; None where its output is no 8-bit integer.
    """

    name: str
    operator: str
    able: int
    pairs: int
    touched: float
    largest: float | None


def able(weights: Array) -> Array:
    """Which pairs [outputs, pairs] of weights [outputs, factors] can leave int16 with activations from 0 to 255.

    >>> able(np.array([[127, 2], [127, 1], [-127, -2], [127, -128]], np.int8)).ravel().tolist()
    [True, False, True, False]
    """
    pairs = _paired(weights).astype(np.int32)
    high, low = (np.clip(pairs, *bounds).sum(-1) * BRIGHTEST for bounds in ((0, None), (None, 0)))
    return np.asarray((high > MOST) | (low < LEAST))


def exposed(artifact: Artifact) -> Optimized | None:
    """The file with those of its layers whose weights can make a sum leave int16; None where it has none or is no `.onnx` file."""
    if artifact.format != "onnx":
        return None
    found = optimize(artifact)
    layers = tuple(layer for layer in found.layers if able(layer.weights).any())
    return Optimized(artifact, found.model, layers) if layers else None


def find(artifact: Artifact, split: Split, progress: Progress) -> tuple[Exposed, ...]:
    """The exposed layers of a file, with what happens in them on the first samples of the data. UserError for data that doesn't fit."""
    found = exposed(artifact)
    if found is None:
        return ()
    few, tallies, watch = split.first(SAMPLES), [_Tally(layer) for layer in found.layers], Watch(found)
    with progress.task(f"sums of pairs in {artifact.path.name}", few.samples) as task:
        for inputs, _ in few.batches(1):
            for tally, integers in zip(tallies, watch.run(encoded(artifact, inputs)), strict=True):
                tally.add(integers)
            task.advance()
    return tuple(tally.told() for tally in tallies)


def losses(layer: IntegerLayer, integers: Array) -> Array:
    """What saturation takes from the integer sums [positions, outputs] of a layer on its activations, uint8 [1, …]."""
    values = integers.astype(np.int32)
    if layer.kernel:
        rows = patches(values, layer.kernel, layer.groups, layer.attributes, layer.zero_point)
    else:
        rows = values.reshape(1, -1, values.shape[-1])
    parts = np.split(layer.weights, len(rows))
    return np.concatenate([_lost(group, weights) for group, weights in zip(rows, parts, strict=True)], axis=1)


class _Tally:
    """One layer over all samples."""

    def __init__(self, layer: IntegerLayer) -> None:
        self.layer, self.outputs, self.touched, self.largest = layer, 0, 0, 0.0

    def add(self, integers: Array) -> None:
        lost = np.abs(losses(self.layer, integers))
        self.outputs += lost.size
        self.touched += int((lost > 0).sum())
        if self.layer.step is not None:
            self.largest = max(self.largest, float((lost / self.layer.step).max()))

    def told(self) -> Exposed:
        layer, pairs = self.layer, able(self.layer.weights)
        largest = None if layer.step is None else self.largest
        return Exposed(layer.name, layer.operator, int(pairs.sum()), pairs.size, self.touched / self.outputs, largest)


def _lost(rows: Array, weights: Array) -> Array:
    """The same for rows [positions, factors] of activations and weights [outputs, factors]."""
    lost = np.zeros((len(rows), len(weights)), np.int64)
    factors, coefficients, possible = _paired(rows), _paired(weights).astype(np.int32), able(weights)
    for pair in np.flatnonzero(possible.any(0)):
        outputs = np.flatnonzero(possible[:, pair])
        sums = factors[:, pair] @ coefficients[outputs, pair].T
        lost[:, outputs] += sums - np.clip(sums, LEAST, MOST)
    return lost


def _paired(values: Array) -> Array:
    """The last axis in twos, with a 0 at the end where it is odd."""
    even = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, values.shape[-1] % 2)])
    return even.reshape(*values.shape[:-1], -1, 2)
