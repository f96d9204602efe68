"""How far two sets of predictions are apart: what the passes cost (compression error) and what an export got wrong (port error)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from compress.lowering.nodes import operator_name
from compress.model import Model
from targets.errors import ExportError

Array = NDArray[Any]

FLOAT_LIMIT = 1e-3
"""Relative error allowed to a float file: float32 kernels that add in another order differ by about 1e-6 a layer."""

INTEGER_LIMIT = 0.15
"""Relative error allowed to an integer file: kernels that round a step apart in each layer give a few percent, wrong scales about 1."""

INTEGER_STEPS = 2.0
"""Differences of up to this many output steps always pass: outputs that fill few of their steps have large relative errors."""


@dataclass(frozen=True)
class Difference:
    """How outputs differ from their reference.

    `relative_error` is the root mean square of the difference over that of the reference; `agreement` the share of samples with
    the same top-1 (None where a sample has one value only); `largest` the largest absolute difference of one value, in
    `largest_steps` integer steps of the output where it has a step; `worst_sample` where that is.
    """

    relative_error: float
    agreement: float | None
    largest: float
    largest_steps: float | None
    worst_sample: int


def compare(reference: Array, outputs: Array, step: float | None = None) -> Difference:
    """Compares real-valued predictions, both [N, …] in the same layout, N at least 1. `step` is the scale of a quantized output.

    Raises ExportError where the shapes differ; a value that is not finite on one side only makes the errors infinite.

    >>> compare(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])).relative_error
    0.0
    """
    if reference.shape != outputs.shape:
        raise ExportError(f"the exported file gives outputs of shape {outputs.shape[1:]} where the network gives {reference.shape[1:]}")
    expected = reference.reshape(len(reference), -1).astype(np.float64)
    found = outputs.reshape(len(outputs), -1).astype(np.float64)
    with np.errstate(invalid="ignore"):
        distance = np.where(expected == found, 0.0, np.abs(expected - found))
    distance = np.nan_to_num(distance, nan=np.inf)
    largest_by_sample = distance.max(axis=1)
    largest = float(largest_by_sample.max())
    return Difference(
        relative_error=_ratio(_rms(distance), _rms(expected)),
        agreement=float((expected.argmax(1) == found.argmax(1)).mean()) if expected.shape[1] > 1 else None,
        largest=largest,
        largest_steps=largest / step if step else None,
        worst_sample=int(largest_by_sample.argmax()),
    )


def output_step(model: Model) -> float | None:
    """The scale of a quantized model's output, whichever way a file spells it; None where the output is no integer."""
    output = model.graph.graph.output_node().args[0]
    while isinstance(output, tuple | list):
        output = output[0]
    if isinstance(output, fx.Node) and output.target == torch.ops.quantized_decomposed.dequantize_per_tensor.default:
        scale = output.args[1]
        return scale if isinstance(scale, float) else None
    return None


def rounds(model: Model) -> bool:
    """Whether a model rounds activations anywhere, so that differences of float32 kernels grow to whole steps."""
    names = {operator_name(node) for node in model.graph.graph.nodes}
    return bool(names & {"quantize_per_tensor", "round_dynamically"}) or (model.stage == "quantized" and "run_tflite" in names)


def check(difference: Difference, file: str, rounds: bool = False) -> None:
    """Raises ExportError when a file's port error is not small; the limits are this module's constants.

    `rounds` says that the network rounds activations, whether or not its output has a step.
    """
    steps = difference.largest_steps
    limit = INTEGER_LIMIT if rounds or steps is not None else FLOAT_LIMIT
    if difference.relative_error <= limit or (steps is not None and steps <= INTEGER_STEPS):
        return
    agreement = "" if difference.agreement is None else f", same top-1 on {difference.agreement:.1%}"
    raise ExportError(
        f"{file}: the exported file differs from the network: relative error {difference.relative_error:.2g} on evaluation samples "
        f"(at most {limit:g}){agreement}, worst at sample {difference.worst_sample}; please report the network, and leave this "
        "format out of 'export' until then"
    )


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _ratio(error: float, size: float) -> float:
    if error == 0.0:
        return 0.0
    return error / size if size > 0 else float("inf")
