"""Makes a network's numbers smaller: 8-bit integers from end to end, or float16 weights."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from torch import fx

from compress.context import Context
from compress.data.base import Inputs, Split
from compress.lowering import batchnorm
from compress.lowering.simplify import simplify
from compress.model import Model, Stage, Step, layer_name, refresh
from compress.progress import Task
from compress.quantization import familiarity, ranges
from compress.quantization.conversion import quantize
from compress.quantization.halves import halve
from compress.quantization.overrides import LayerScheme, Override, resolve
from targets.errors import UserError, did_you_mean

Scheme = Literal["int8", "float16"]
WeightObserver = Literal["minmax", "mse"]
BATCH = 32
SAMPLES_FOR_WARNING = 64


@dataclass(frozen=True)
class Quantize:
    """Quantizes without training, from the calibration samples alone.

    `int8` is TFLite's full-integer specification: weights symmetric with a scale for each output channel, activations asymmetric,
    biases int32. `float16` halves the weights and leaves the arithmetic in float. `observer` chooses the range of an activation:
    `minmax`, `moving_average` (of each batch's extremes), `percentile` (99.99 % of the values) or `mse` (smallest squared error);
    `weight_observer` that of a channel of weights. `overrides` are rules in order, the last that fits a layer wins:
    `{match: "head\\..*", scheme: float}` for layer names, `{operator: softmax, scheme: float}` for operators, or both.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "quantized"

    scheme: Scheme = "int8"
    observer: str = "mse"
    weight_observer: WeightObserver = "mse"
    overrides: tuple[Override, ...] = ()

    def __post_init__(self) -> None:
        for name, possible in (("scheme", get_args(Scheme)), ("weight_observer", get_args(WeightObserver)), ("observer", ranges.OBSERVERS)):
            if getattr(self, name) not in possible:
                raise UserError(f"{name} '{getattr(self, name)}' is not known; {did_you_mean(getattr(self, name), possible)}")
        if self.overrides and self.scheme != "int8":
            raise UserError("overrides choose between int8 and float, so they need scheme int8")

    def __call__(self, model: Model, context: Context) -> Model:
        """The quantized network, whose graph computes what the exported integers will.

        Raises UserError for an operator that has no integer form, for an override that matches nothing, and without calibration samples.
        """
        graph = model.copy_graph()
        simplify(graph)
        folded = batchnorm.fold(graph)
        refresh(graph, model.example)
        lines = [f"folded {len(folded)} BatchNorm layers"] if folded else []
        if self.scheme == "float16":
            lines.append(f"{halve(graph)} weights to float16")
            return model.then(graph, Step("quantize", asdict(self), tuple(lines)), "quantized")
        return self._to_integers(model, graph, lines, context)

    def _to_integers(self, model: Model, graph: fx.GraphModule, lines: list[str], context: Context) -> Model:
        schemes = resolve(graph.graph, self.overrides)
        calibration = context.data.calibration
        if calibration.samples == 0:
            raise UserError("quantize: there are no calibration samples; set 'calibration' under 'data' to 100 or more")
        details: dict[str, Any] = {
            "layers": {layer_name(node): scheme for node, scheme in schemes.items()},
            "calibration_samples": calibration.samples,
        }
        lines += _summary(schemes)
        lines.append(f"calibrated on {calibration.samples} samples, ranges by {self.observer}, weights by {self.weight_observer}")
        first, _ = next(calibration.batches(SAMPLES_FOR_WARNING))
        if (unlike := familiarity.warning(model, _tensors(first))) is not None:
            lines.append(unlike)
        integer = frozenset(node for node, scheme in schemes.items() if scheme == "int8")
        with context.progress.task("calibrating", calibration.samples) as task:
            batches = _batches(calibration, BATCH if model.free_batch else 1, task)
            graph = quantize(graph, integer, self.observer, self.weight_observer, batches)
        return model.then(graph, Step("quantize", asdict(self), tuple(lines), details), "quantized")


def _batches(calibration: Split, size: int, task: Task) -> Iterator[tuple[torch.Tensor, ...]]:
    for inputs, _ in calibration.batches(size):
        yield _tensors(inputs)
        task.advance(len(inputs[0]))


def _tensors(inputs: Inputs) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(np.ascontiguousarray(values)) for values in inputs)


def _summary(schemes: dict[fx.Node, LayerScheme]) -> list[str]:
    left = [layer_name(node) for node, scheme in schemes.items() if scheme == "float"]
    lines = [f"{len(schemes) - len(left)} operators to int8"]
    return [*lines, f"left in float by overrides: {', '.join(left)}"] if left else lines
