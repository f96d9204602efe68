"""Whether calibration samples look like those the network was trained on: BatchNorm remembers what it saw."""

from typing import Any

import numpy as np
import torch
from torch import fx

from compress.lowering.nodes import argument, constant, operator_name
from compress.model import Model, layer_name

SPREAD_LIMITS = (0.5, 2.0)
"""Ratios of observed to remembered standard deviation, median over channels, that pass. Right data gave 0.88 to 1.1, wrong units 255."""
SHIFT_LIMIT = 1.0
"""Distance of observed from remembered mean in remembered standard deviations, median over channels. Right data gave below 0.1."""


def warning(model: Model, inputs: tuple[torch.Tensor, ...]) -> str | None:
    """A line for the user where the first BatchNorm's input has other statistics than in training; None where all is well or unknown."""
    norm = next((node for node in model.graph.graph.nodes if operator_name(node) == "batch_norm"), None)
    if norm is None or not model.free_batch or len(inputs[0]) < 8:
        return None
    mean, variance = (constant(model.graph, argument(norm, name)).double().numpy() for name in ("running_mean", "running_var"))
    seen = _Input(model.graph, norm).values(inputs)
    by_channel = seen.transpose(0, 1).flatten(1).double().numpy()
    deviation = np.sqrt(np.maximum(variance, 1e-12))
    spread = float(np.median(by_channel.std(1) / deviation))
    shift = float(np.median(np.abs(by_channel.mean(1) - mean) / deviation))
    if SPREAD_LIMITS[0] <= spread <= SPREAD_LIMITS[1] and shift <= SHIFT_LIMIT:
        return None
    return (
        f"warning: calibration samples look unlike training ({layer_name(norm)} sees {spread:.2g} times the spread it was trained on, "
        f"means {shift:.2g} deviations away); check that 'data' is scaled as the network expects"
    )


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
