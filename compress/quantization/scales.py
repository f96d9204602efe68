"""Which values share one scale: worked out from the operators' rules before anything is observed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import fx

from compress.lowering.decompositions.normalization import WIDE
from compress.lowering.nodes import is_float, operator_name
from compress.quantization.operators import Rule, rule

Place = fx.Node | tuple[fx.Node, fx.Node]
"""Where integers are: a value, or a value as one operator reads it (another scale than where it was made, or made in float)."""

Dtypes = Mapping[fx.Node, torch.dtype]
"""The operators that compute with integers, and the type of their activations."""


@dataclass
class Scales:
    """Groups of places with one scale each (a union-find), and the groups whose scale the specification fixes."""

    parents: dict[Place, Place] = field(default_factory=dict)
    fixed: dict[Place, Rule] = field(default_factory=dict)

    def root(self, place: Place) -> Place:
        """The place that stands for the group."""
        while self.parents[place] != place:
            place = self.parents[place]
        return place

    def add(self, place: Place) -> None:
        """A new group of one place."""
        self.parents.setdefault(place, place)

    def join(self, one: Place, other: Place) -> None:
        """Makes two groups one; a scale that was fixed for either stays fixed."""
        kept, gone = self.root(one), self.root(other)
        if kept != gone:
            self.parents[gone] = kept
            if gone in self.fixed:
                self.fixed.setdefault(kept, self.fixed.pop(gone))

    def fixed_for(self, place: Place) -> Rule | None:
        """The rule that fixes the scale of this place, if any does."""
        return self.fixed.get(self.root(place))

    def groups(self) -> list[list[Place]]:
        """The places of each group, in the graph's order."""
        found: dict[Place, list[Place]] = {}
        for place in self.parents:
            found.setdefault(self.root(place), []).append(place)
        return list(found.values())


def value_of(place: Place) -> fx.Node:
    """The node whose value a place holds."""
    return place[0] if isinstance(place, tuple) else place


def activations(node: fx.Node) -> list[fx.Node]:
    """The values that an operator computes with, without the weights and bias of a weighted one."""
    found = rule(node)
    if found is not None and found.family == "weighted":
        return [value for value in [node.args[0]] if isinstance(value, fx.Node)]
    return [value for value in node.all_input_nodes if is_float(value)]


def is_fused(node: fx.Node, integer: Collection[fx.Node]) -> bool:
    """Whether an activation is computed by the operator before it, so that no integers are between the two."""
    found = rule(node)
    producer = node.args[0] if node.args else None
    if found is None or found.family != "activation" or not isinstance(producer, fx.Node) or producer not in integer:
        return False
    before = rule(producer)
    return before is not None and before.fuses and len(producer.users) == 1


def published(node: fx.Node, integer: Dtypes) -> torch.dtype | None:
    """The type of integers that a node's value is made as, for all who read it; None where it is made in float."""
    if node.op == "placeholder":
        return _entering(node, integer) if is_float(node) else None
    if not is_float(node) or any(is_fused(user, integer) for user in node.users):
        return None
    return integer.get(node)


def _entering(node: fx.Node, integer: Dtypes) -> torch.dtype | None:
    readers = [user for user in node.users if operator_name(user) != "sym_size"]
    dtypes = {integer.get(user) for user in readers}
    if None in dtypes or len(dtypes) != 1:
        return torch.int8 if dtypes == {torch.int8, torch.int16} else None
    return torch.int8 if all(widened(user, integer) for user in readers) else dtypes.pop()


def _leaving_wide(node: fx.Node, integer: Dtypes) -> list[fx.Node]:
    return [value for value in node.all_input_nodes if widened(value, integer)] if node.op == "output" else []


def widened(node: fx.Node, integer: Dtypes) -> bool:
    """Whether an operator has 16 bits for its own sake, in a network of 8 bits, so that inputs and outputs needn't have them."""
    return bool(node.meta.get(WIDE)) and integer.get(node) == torch.int16 and torch.int8 in integer.values()


def share(graph: fx.Graph, integer: Dtypes) -> Scales:
    """The groups of a graph whose nodes `integer` compute with integers, places in the graph's order."""
    scales = Scales()
    readers: dict[tuple[fx.Node, torch.dtype], Place] = {}
    for node in graph.nodes:
        found = rule(node) if node in integer else None
        shares = found is not None and found.family == "shared"
        edges: list[Place] = []
        if found is not None and not is_fused(node, integer):
            alone = shares and len(activations(node)) > 1
            edges = [_read(scales, readers, (value, node), integer[node], alone=alone) for value in activations(node)]
        if operator_name(node) == "getitem" and isinstance(node.args[0], fx.Node):
            edges = [(value, node.args[0]) for value in activations(node.args[0])]
        for value in _leaving_wide(node, integer):
            _read(scales, readers, (value, node), torch.int8, alone=False)
        made = published(node, integer)
        if made is not None:
            scales.add(node)
            readers[node, made] = node
            if found is not None and found.family == "fixed":
                scales.fixed[node] = found
            edges = [*edges, node]
        if shares:
            for edge in edges[1:]:
                scales.join(edges[0], edge)
    return scales


def _read(
    scales: Scales, readers: dict[tuple[fx.Node, torch.dtype], Place], edge: tuple[fx.Node, fx.Node], dtype: torch.dtype, *, alone: bool
) -> Place:
    scales.add(edge)
    first = readers.setdefault((edge[0], dtype), edge)
    # several inputs must share a scale and this one's is fixed: it is converted for this reader
    if not (alone and scales.fixed_for(first) is not None):
        scales.join(first, edge)
    return edge
