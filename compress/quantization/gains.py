"""How much the network's output moves with each value and each weight."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import fx

from compress.model import first_output


class Gains(fx.Interpreter):
    """Runs samples forwards and backwards, one at a time, and gathers extremes of values and squared slopes of the output.

    The slopes are those by each value and each weight. A squared one tells how much variance a unit of it at this place makes there.
    """

    def __init__(self, graph: fx.GraphModule, values: Iterable[fx.Node], seed: int) -> None:
        super().__init__(graph)
        self.squares: dict[Any, torch.Tensor] = {}
        self.high: dict[fx.Node, torch.Tensor] = {}
        self.low: dict[fx.Node, torch.Tensor] = {}
        self._weights = {
            name: tensor.detach().requires_grad_() for name, tensor in graph.state_dict().items() if tensor.is_floating_point()
        }
        self._wanted = set(values)
        self._live: dict[fx.Node, torch.Tensor] = {}
        self._random = torch.Generator().manual_seed(seed)

    def add(self, sample: tuple[torch.Tensor, ...]) -> None:
        """One sample (batch size 1): slopes of a sum of the network's outputs with random signs, which stand for all outputs alike."""
        output = first_output(self.run(*(tensor.clone().requires_grad_(tensor.is_floating_point()) for tensor in sample)))
        signs = torch.randint(0, 2, output.shape, generator=self._random) * 2.0 - 1.0
        sources: dict[Any, torch.Tensor] = self._live | self._weights
        slopes = torch.autograd.grad((output * signs).sum(), list(sources.values()), allow_unused=True)
        for key, slope in zip(sources, slopes, strict=True):
            if slope is not None:
                square = slope.double().square_()
                self.squares[key] = self.squares[key].add_(square) if key in self.squares else square
        for node, value in self._live.items():
            for sizes, size in ((self.high, value.detach()), (self.low, -value.detach())):
                sizes[node] = torch.maximum(sizes[node], size, out=sizes[node]) if node in sizes else size.clamp(min=0)

    def run_node(self, n: fx.Node) -> Any:
        """Remembers values on the way."""
        if n.op == "get_attr" and str(n.target) in self._weights:
            return self._weights[str(n.target)]
        result = super().run_node(n)
        if n in self._wanted and isinstance(result, torch.Tensor) and result.requires_grad:
            self._live[n] = result
        return result
