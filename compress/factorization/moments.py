"""What calibration data says of a layer: the covariance of its inputs, and how much each direction of its outputs counts in the end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compress.context import Context
from compress.factorization.layers import Layer
from compress.model import Model, first_output
from compress.pruning.patches import calibration_batches, thinned

SHRINKAGE = 0.01
"""Of a covariance towards a multiple of the identity: a few hundred samples say little about rare directions."""

GAIN_SHRINKAGE = 0.03
"""The same of gains: slopes say nothing of what happens where an activation turns."""

GAIN_SAMPLES, GAIN_BATCH = 64, 8


@dataclass(frozen=True)
class Statistics:
    """Of a layer's inputs the covariance [groups, K, K] and mean [groups, K]; `gain` [groups, M, M], positive definite, is the mean of
    the products of the slopes by its outputs of the network's, times the number of positions. All float64.
    """

    covariance: torch.Tensor
    mean: torch.Tensor
    gain: torch.Tensor


def unknown(layer: Layer) -> Statistics:
    """Every input and output counts alike, so that the weights alone decide; errors are relative to the layer's own weights."""
    groups, outputs, columns = layer.weights.shape
    identities = (torch.eye(size, dtype=torch.float64).expand(groups, size, size) for size in (columns, outputs))
    covariance, gain = identities
    energy = layer.weights.square().sum().clamp(min=1e-30)
    return Statistics(covariance, torch.zeros(groups, columns, dtype=torch.float64), gain / energy)


def gather(model: Model, layers: Sequence[Layer], context: Context) -> dict[str, Statistics]:
    """The statistics of each layer by its name, over the calibration data."""
    largest = max(_elements(node) for node in model.graph.graph.nodes) // model.example[0].shape[0]
    batches = list(calibration_batches(context.data.calibration, model.free_batch, largest))
    inputs = _Inputs(model.graph, layers)
    gains = _Gains(model.graph, layers, context.seed)
    small = [
        tuple(tensor[start : start + GAIN_BATCH] for tensor in batch) for batch in batches for start in range(0, len(batch[0]), GAIN_BATCH)
    ]
    small = small[: -(-GAIN_SAMPLES // len(small[0][0]))]
    with context.progress.task("what layers see", len(batches) + len(small)) as task:
        for batch in batches:
            with torch.no_grad():
                inputs.run(*batch)
            task.advance()
        for batch in small:
            gains.add(batch)
            task.advance()
    return {layer.name: Statistics(*inputs.moments(layer), gains.of(layer)) for layer in layers}


def _elements(node: fx.Node) -> int:
    value = node.meta.get("val")
    return value.numel() if isinstance(value, torch.Tensor) else 0


def _shrunk(moments: torch.Tensor, share: float) -> torch.Tensor:
    """Symmetric matrices [groups, K, K], a little nearer to a multiple of the identity."""
    means = moments.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-12)[:, None, None]
    return (1 - share) * moments + share * means * torch.eye(moments.shape[1], dtype=moments.dtype)


class _Inputs(fx.Interpreter):
    """Gathers number, sum and squares of the rows that each layer multiplies its weights with."""

    def __init__(self, graph: fx.GraphModule, layers: Iterable[Layer]) -> None:
        super().__init__(graph)
        self._layers = {layer.node: layer for layer in layers}
        self._sums: dict[str, tuple[int, Any, Any]] = {}

    def run_node(self, n: fx.Node) -> Any:
        layer = self._layers.get(n)
        if layer is not None:
            rows = thinned(layer.geometry.rows(self.env[n.all_input_nodes[0]]))
            count, total, squares = self._sums.get(layer.name, (0, 0.0, 0.0))
            products = (rows.transpose(1, 2) @ rows).double()
            self._sums[layer.name] = (count + rows.shape[1], total + rows.sum(1).double(), squares + products)
        return super().run_node(n)

    def moments(self, layer: Layer) -> tuple[torch.Tensor, torch.Tensor]:
        """Covariance and mean."""
        count, total, squares = self._sums[layer.name]
        mean = total / count
        return _shrunk(squares / count - mean[:, :, None] * mean[:, None, :], SHRINKAGE), mean


class _Gains(fx.Interpreter):
    """Gathers products of slopes: of sums of the network's outputs with random signs, which stand for all outputs alike."""

    def __init__(self, graph: fx.GraphModule, layers: Iterable[Layer], seed: int) -> None:
        super().__init__(graph)
        self._layers = {layer.node: layer for layer in layers}
        self._live: dict[Layer, torch.Tensor] = {}
        self._products: dict[str, Any] = {}
        self._samples = 0
        self._random = torch.Generator().manual_seed(seed)

    def add(self, batch: tuple[torch.Tensor, ...]) -> None:
        """One batch, forwards and backwards."""
        with torch.enable_grad():
            output = first_output(self.run(*batch))
        signs = torch.randint(0, 2, output.shape, generator=self._random) * 2.0 - 1.0
        slopes = torch.autograd.grad((output * signs).sum(), list(self._live.values()), allow_unused=True)
        for layer, slope in zip(self._live, slopes, strict=True):
            if slope is not None:
                rows = layer.geometry.results(slope)
                self._products[layer.name] = self._products.get(layer.name, 0.0) + (rows.transpose(1, 2) @ rows).double()
        self._samples += len(batch[0])
        self._live.clear()

    def of(self, layer: Layer) -> torch.Tensor:
        """The gain of a layer."""
        size = layer.outputs
        none = torch.zeros(layer.groups, size, size, dtype=torch.float64)
        return _shrunk(self._products.get(layer.name, none) / self._samples, GAIN_SHRINKAGE)

    def run_node(self, n: fx.Node) -> Any:
        """Remembers the outputs of layers; what is changed in place behind one is a copy."""
        result = super().run_node(n)
        layer = self._layers.get(n)
        if layer is None:
            return result
        self._live[layer] = result if result.requires_grad else result.requires_grad_()
        return self._live[layer].clone()
