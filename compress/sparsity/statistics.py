"""What calibration data says of layers' inputs, streamed: no more than one batch of activations is held at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compress.context import Context
from compress.model import Model
from compress.pruning.analysis import operator
from compress.pruning.surgery import weight_of
from compress.quantization.static import tensors
from compress.sparsity.layers import FOLLOWED, Layer, amplification
from targets.errors import UserError

BATCH = 32
ROWS = 8192
"""At most about so many rows of a batch are used, evenly spread over its positions."""


@dataclass(frozen=True)
class Calibration:
    """A model, and the first `samples` calibration samples of a context, which it runs as often as is asked for."""

    model: Model
    context: Context
    samples: int

    def check(self, layers: Sequence[Layer], criterion: str) -> None:
        """UserError where a layer's inputs can't be followed, or there are no samples."""
        if self.context.data.calibration.samples == 0:
            raise UserError(f"criterion {criterion}: there are no calibration samples; set 'calibration' under 'data' to 100 or more")
        for layer in layers:
            kind = operator(layer.node)
            if kind not in FOLLOWED:
                cure = "list it under 'keep' or use criterion magnitude"
                raise UserError(f"criterion {criterion} can't follow the inputs of {layer.name} ({kind}); {cure}")

    def batches(self) -> Iterator[tuple[torch.Tensor, ...]]:
        """Inputs as the network takes them."""
        for inputs, _ in self.context.data.calibration.first(self.samples).batches(BATCH if self.model.free_batch else 1):
            yield tensors(inputs)


def thinned(rows: torch.Tensor, number: int) -> torch.Tensor:
    """About ROWS of a batch's rows [groups, rows, …]; an odd step apart, so that every column of an image and every phase comes up."""
    step = rows.shape[1] // ROWS | 1
    return rows[:, number % step :: step]


def wanda(calibration: Calibration, layers: Sequence[Layer]) -> list[torch.Tensor]:
    """For each layer's weights, laid out, the share of the layer's output energy that goes with each: (|w| ‖x‖)² over ‖y‖².

    |w| ‖x‖ is the score of Sun et al. 2023 (https://arxiv.org/abs/2306.11695); squared, amplified as by the BatchNorm that follows,
    and relative to the energy of the outputs' changes, it can be compared between layers.
    """
    graph, found = calibration.model.graph, []
    runner = _Energies(graph, layers)
    with torch.no_grad(), calibration.context.progress.task("norms of inputs") as task:
        for number, batch in enumerate(calibration.batches()):
            runner.number = number
            runner.run(*batch)
            task.advance(len(batch[0]))
    for layer in layers:
        count, inputs, outputs, squares = runner.sums[layer.node]
        laid_out = layer.laid_out(weight_of(graph, layer.weight).detach())
        factors = amplification(graph, layer)
        energy = ((squares - outputs.square() / count).clamp(min=0) * factors.square()).sum() + 1e-12
        scores = (laid_out * factors[:, :, None, None]).square() * inputs.reshape(len(laid_out), 1, *laid_out.shape[2:])
        found.append((scores / energy).float())
    return found


class _Energies(fx.Interpreter):
    """Sums of squares of each layer's inputs [groups, 1, K], and sums and squares of its outputs [groups, channels]."""

    def __init__(self, graph: fx.GraphModule, layers: Sequence[Layer]) -> None:
        super().__init__(graph)
        self.weights = {layer.node: weight_of(graph, layer.weight) for layer in layers}
        self.layers = {layer.node: layer for layer in layers}
        self.sums: dict[fx.Node, tuple[int, Any, Any, Any]] = {}
        self.number = 0

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n in self.layers:
            layer, value = self.layers[n], self.env[n.all_input_nodes[0]]
            rows = thinned(layer.rows(self.weights[n], value), self.number)
            made = thinned(layer.results(result), self.number)
            count, inputs, outputs, squares = self.sums.get(n, (0, 0.0, 0.0, 0.0))
            self.sums[n] = (
                count + rows.shape[1],
                inputs + rows.square().sum(1, keepdim=True).double(),
                outputs + made.sum(1).double(),
                squares + made.square().sum(1).double(),
            )
        return result


def head(graph: fx.GraphModule, node: fx.Node) -> fx.GraphModule:
    """The part of a graph that a node needs; it gives the node's first operand and its value."""
    part, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    for each in graph.graph.nodes:
        copies[each] = part.node_copy(each, copies.__getitem__)
        if each is node:
            break
    part.output((copies[node.all_input_nodes[0]], copies[node]))
    part.eliminate_dead_code()
    return fx.GraphModule(graph, part)
