"""Where integers are in a network and what they look like, following the operators' rules; no number is known yet."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import fx

from compress.lowering.nodes import argument, is_constant
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


def follow(schemes: dict[fx.Node, str], named: Collection[fx.Node] = ()) -> None:
    """Gives an activation the scheme of the operator that can compute it along with its own, in place.

    Of the two, one in float and the other not, an activation that somebody has `named` keeps its scheme.
    """
    for node, scheme in schemes.items():
        if is_fused(node, schemes):
            before = schemes[node.args[0]]  # type: ignore[index]  # a fused activation's first argument is a node
            if node not in named or "float" not in (before, scheme):
                schemes[node] = before


def _integers(places: list[Place], integers: Mapping[fx.Node, Integers]) -> Integers:
    """All operators of a group have the same type of activations; any of them tells it."""
    place = places[0]
    if isinstance(place, tuple):
        return integers[place[1]]
    return integers[place] if place in integers else integers[next(iter(place.users))]
