"""Where integers are in a network and what they look like, following the operators' rules; no number is known yet."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import fx

from compress.lowering.nodes import argument, is_constant, is_float, operator_name
from compress.quantization.operators import Rule, rule
from compress.quantization.scales import Place, is_fused, share, value_of
from compress.quantization.schemes import INTEGERS, Integers


@dataclass(frozen=True, eq=False)
class Group:
    """Places with one scale. `fixed` is the rule that gives the scale where the specification does."""

    places: tuple[Place, ...]
    integers: Integers
    fixed: Rule | None

    @property
    def values(self) -> list[fx.Node]:
        """The nodes whose values the group holds, each once."""
        return list(dict.fromkeys(map(value_of, self.places)))


@dataclass(frozen=True, eq=False)
class Weighted:
    """A layer with constant weights: the nodes that read them, the bits of a weight, and the scale group of its input."""

    layer: fx.Node
    weight: fx.Node
    bias: fx.Node | None
    channel_axis: int
    bits: int
    source: Group


@dataclass(frozen=True)
class Plan:
    """All groups of a graph, and its layers with weights, in the graph's order."""

    groups: tuple[Group, ...]
    weighted: tuple[Weighted, ...]

    @property
    def values(self) -> list[fx.Node]:
        """The nodes whose ranges must be known."""
        return list(dict.fromkeys(value for group in self.groups if group.fixed is None for value in group.values))

    @cached_property
    def by_place(self) -> dict[Place, Group]:
        """The group of each place."""
        return {place: group for group in self.groups for place in group.places}

    def groups_between(self, value: fx.Node, reader: fx.Node) -> list[Group]:
        """The scales that round a value on its way to a reader: that it is made with, then the reader's own where that is another."""
        found = (self.by_place.get(value), self.by_place.get((value, reader)))
        return list(dict.fromkeys(group for group in found if group is not None))


def plan(graph: fx.Graph, schemes: Mapping[fx.Node, str]) -> Plan:
    """The plan of a graph in which each operator has a scheme of `INTEGERS` or `float`; operators that aren't named stay in float."""
    integers = {node: INTEGERS[scheme] for node, scheme in schemes.items() if scheme in INTEGERS}
    scales = share(graph, {node: found.dtype for node, found in integers.items()})
    groups = [Group(tuple(places), _integers(places, integers), scales.fixed_for(places[0])) for places in scales.groups()]
    by_place = {place: group for group in groups for place in group.places}
    weighted = []
    for node in graph.nodes:
        found = rule(node) if node in integers else None
        if found is not None and found.channel_axis is not None:
            weight, bias = node.args[1], argument(node, "bias")
            source = by_place[node.args[0], node]
            given = bias if isinstance(bias, fx.Node) and is_constant(bias) else None
            weighted.append(Weighted(node, weight, given, found.channel_axis, integers[node].weight_bits, source))
    return Plan(tuple(groups), tuple(weighted))


AVERAGING = frozenset({"avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "upsample_bilinear2d"})
"""Operators whose output shares the input's scale though it holds new numbers."""


def moves(node: fx.Node) -> bool:
    """Whether an operator only passes on numbers that it is given (and zeros)."""
    found = rule(node)
    return found is not None and found.family == "shared" and operator_name(node) not in AVERAGING


def follow(schemes: dict[fx.Node, str], named: Collection[fx.Node] = ()) -> None:
    """Gives operators the scheme of what they belong to, in place; those that somebody has `named` keep theirs.

    An activation belongs to the operator whose kernel can compute it (even if named, unless one is in float and the other isn't),
    and an operator that only moves numbers to those that made them, where these agree.
    """
    for node, scheme in schemes.items():
        fused = is_fused(node, schemes)
        inputs = [value for value in node.all_input_nodes if value in schemes or (is_float(value) and not is_constant(value))]
        made = {schemes.get(value) for value in inputs}
        before = made.pop() if len(made) == 1 else None
        if before is not None and ((fused and "float" not in (before, scheme)) or ((fused or moves(node)) and node not in named)):
            schemes[node] = before


def _integers(places: list[Place], integers: Mapping[fx.Node, Integers]) -> Integers:
    """All operators of a group have the same type of activations; any of them tells it. What only enters or leaves has 8 bits."""
    readers = [place[1] if isinstance(place, tuple) else place for place in places]
    return next((integers[reader] for reader in readers if reader in integers), INTEGERS["int8"])
