"""Runs two graphs side by side, each operator on all samples before the next, so that what comes later sees what was changed earlier."""

from collections.abc import Collection, Sequence
from typing import Any

import torch
from torch import fx

from compress.lowering.nodes import operator_name

Batches = Sequence[tuple[torch.Tensor, ...]]


class Stepper(fx.Interpreter):
    """Holds the values of one graph that are still to be read, for each batch.

    Constants, what is calculated from them alone, and the real numbers that stored integers of activations stand for, are worked out
    whenever they are read: changes of constants take effect at once, and activations wait as integers.
    """

    def __init__(self, graph: fx.GraphModule, batches: Batches, kept: Collection[fx.Node] = ()) -> None:
        """`kept` are nodes whose values wait until `take` asks for them."""
        super().__init__(graph)
        self.graph_module, self.batches = graph, batches
        self.values: dict[fx.Node, list[Any]] = {}
        self._kept = set(kept)
        self._nodes = [node for node in graph.graph.nodes if node.op != "output"]
        self._next = 0
        self._places = {node: place for place, node in enumerate(self._nodes)}
        constants: set[fx.Node] = set()
        for node in self._nodes:
            if node.op == "get_attr" or (node.all_input_nodes and constants.issuperset(node.all_input_nodes)):
                constants.add(node)
        self._light = constants | {node for node in self._nodes if operator_name(node) == "dequantize_per_tensor"}
        self._waiting = {node: self._readers(node) for node in self._nodes if node not in self._light}
        self._inputs = [node for node in self._nodes if node.op == "placeholder"]

    def before(self, node: fx.Node) -> None:
        """Runs everything that stands before a node."""
        while self._next < self._places[node]:
            self._step()

    def after(self, node: fx.Node) -> None:
        """Runs a node and everything before it."""
        while self._next <= self._places[node]:
            self._step()

    def take(self, node: fx.Node) -> list[torch.Tensor]:
        """The values of a kept node, which are forgotten then unless somebody still has to read them."""
        self.after(node)
        self._kept.discard(node)
        values = self.values[node]
        self._forget(node)
        return values

    def value(self, node: fx.Node, batch: int) -> Any:
        """A value that is held, or one that is worked out from such."""
        if node in self.values:
            return self.values[node][batch]
        if node.op == "get_attr":
            return self.fetch_attr(str(node.target))
        needed = {operand: self.value(operand, batch) for operand in node.all_input_nodes}
        self.env = needed
        return self.run_node(node)

    def _step(self) -> None:
        node = self._nodes[self._next]
        self._next += 1
        if node in self._light:
            return
        if node.op == "placeholder":
            self.values[node] = [batch[self._inputs.index(node)] for batch in self.batches]
        else:
            self.values[node] = [self.value(node, number) for number in range(len(self.batches))]
        for operand in list(self.values):
            self._waiting[operand].discard(node)
            self._forget(operand)

    def _forget(self, node: fx.Node) -> None:
        if not self._waiting[node] and node not in self._kept:
            del self.values[node]

    def _readers(self, node: fx.Node) -> set[fx.Node]:
        """Nodes that are run and read a node, straight or through one that isn't held."""
        found: set[fx.Node] = set()
        for user in node.users:
            found |= self._readers(user) if user in self._light else {user}
        return {user for user in found if user.op != "output"}
