"""Whether calibration samples look like those the network was trained on: BatchNorm remembers what it saw."""

from typing import Any

import torch
from torch import fx

from compress.data.base import Split
from compress.lowering.nodes import argument, constant, operator_name
from compress.model import Model, layer_name
from compress.quantization.static import batch_size, tensors

SAMPLES = 64
"""Calibration samples that are looked at."""
FEWEST_SAMPLES = 8
"""That say anything."""
SPREAD_LIMITS = (0.5, 2.0)
"""Ratios of observed to remembered standard deviation, median over channels, that pass. Right data gave 0.88 to 1.1, wrong units 255."""
SHIFT_LIMIT = 1.0
"""Distance of observed from remembered mean in remembered standard deviations, median over channels. Right data gave below 0.1."""


def warning(model: Model, calibration: Split) -> str | None:
    """A line for the user where the first BatchNorm's input has other statistics than in training; None where all is well or unknown."""
    norm = next((node for node in model.graph.graph.nodes if operator_name(node) == "batch_norm"), None)
    if norm is None or not model.free_batch or calibration.samples < FEWEST_SAMPLES:
        return None
    mean, variance = (constant(model.graph, argument(norm, name)).double() for name in ("running_mean", "running_var"))
    deviation = variance.clamp(min=1e-12).sqrt()
    seen_mean, seen_deviation = _statistics(model, norm, calibration.first(SAMPLES))
    spread = float((seen_deviation / deviation).quantile(0.5))
    shift = float(((seen_mean - mean).abs() / deviation).quantile(0.5))
    if SPREAD_LIMITS[0] <= spread <= SPREAD_LIMITS[1] and shift <= SHIFT_LIMIT:
        return None
    return (
        f"warning: calibration samples look unlike training ({layer_name(norm)} sees {spread:.2g} times the spread it was trained on, "
        f"means {shift:.2g} deviations away); check that 'data' is scaled as the network expects"
    )


def _statistics(model: Model, norm: fx.Node, samples: Split) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean and standard deviation of what goes into a BatchNorm, float64 [channels] each."""
    values, total, squares = 0, torch.tensor(0.0), torch.tensor(0.0)
    for inputs, _ in samples.batches(batch_size(model)):
        by_channel = _Input(model.graph, norm).values(tensors(inputs)).transpose(0, 1).flatten(1)
        values += by_channel.shape[1]
        total = total + by_channel.sum(1, dtype=torch.float64)
        squares = squares + by_channel.square().sum(1, dtype=torch.float64)
    mean = total / values
    return mean, (squares / values - mean.square()).clamp(min=0).sqrt()


class _Input(fx.Interpreter):
    """Runs the network up to one node and gives what goes into it; nothing after it is computed."""

    def __init__(self, graph: fx.GraphModule, wanted: fx.Node) -> None:
        super().__init__(graph)
        self.wanted = wanted.args[0]

    def values(self, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        with torch.no_grad():
            try:
                self.run(*inputs)
            except _FoundError as found:
                return found.values
        raise AssertionError("a BatchNorm of the graph wasn't reached")

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n is self.wanted:
            raise _FoundError(result)
        return result


class _FoundError(Exception):
    def __init__(self, values: torch.Tensor) -> None:
        super().__init__()
        self.values = values
