"""Which layers compute with integers: the pass's scheme, changed by an ordered list of rules."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

from torch import fx

from compress.lowering.decompositions.normalization import WIDE
from compress.lowering.nodes import is_float, operator_name
from compress.model import layer_name
from compress.quantization.operators import RULES, rule
from compress.quantization.parameters import Granularity
from compress.quantization.plan import follow
from compress.quantization.schemes import INTEGERS, LayerScheme
from targets.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Override:
    """A rule for layers: `match` is a regular expression for a layer's whole name, `operator` an ATen operator (`conv2d`); at least one.

    Where both are given, both must fit. It changes the layers' `scheme`, the granularity of their weights or both.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    scheme: LayerScheme | None = None
    match: str | None = None
    operator: str | None = None
    weight_granularity: Granularity | None = None

    def __post_init__(self) -> None:
        if self.scheme is None and self.weight_granularity is None:
            raise UserError("overrides: a rule needs 'scheme', 'weight_granularity' or both")
        for name, kinds in (("scheme", LayerScheme), ("weight_granularity", Granularity)):
            word = getattr(self, name)
            if word not in (None, *get_args(kinds)):
                raise UserError(f"overrides: no {name} is called '{word}'; {did_you_mean(word, get_args(kinds))}")
        if self.match is None and self.operator is None:
            raise UserError("overrides: a rule needs 'match' (a layer's name), 'operator' or both")
        try:
            re.compile(self.match or "")
        except re.error as error:
            raise UserError(f"overrides: match '{self.match}' is no regular expression: {error}") from None

    def fits(self, node: fx.Node) -> bool:
        """Whether the rule is about this node."""
        return self.fits_layer(layer_name(node), operator_name(node))

    def fits_layer(self, name: str, operator: str) -> bool:
        """Whether the rule is about a layer of this name, with this operator."""
        return (self.match is None or re.fullmatch(self.match, name) is not None) and self.operator in (None, operator)

    def __str__(self) -> str:
        parts = [f"match: '{self.match}'"] if self.match is not None else []
        return ", ".join([*parts, f"operator: {self.operator}"] if self.operator is not None else parts)


def resolve(graph: fx.Graph, overrides: Sequence[Override], scheme: str = "int8") -> dict[fx.Node, str]:
    """The scheme of every operator that computes with floating-point numbers, in the graph's order: `scheme` but for overrides.

    Raises UserError for a rule that matches no layer, and for an operator that has no integer form and isn't left in float.
    """
    nodes = [node for node in graph.nodes if node.op == "call_function" and _computes(node)]
    schemes: dict[fx.Node, str] = dict.fromkeys(nodes, scheme)
    named: set[fx.Node] = set()
    for override in overrides:
        fitting = [node for node in nodes if override.fits(node)]
        if not fitting:
            name, name_of = (override.operator, operator_name) if override.match is None else (override.match, layer_name)
            raise UserError(f"quantize: overrides: {override} matches no layer; {did_you_mean(str(name), set(map(name_of, nodes)))}")
        if override.scheme is not None:
            schemes |= dict.fromkeys(fitting, override.scheme)
            named |= set(fitting)
    for node, chosen in schemes.items():
        if chosen in INTEGERS and rule(node) is None:
            raise UserError(
                f"quantize: layer '{layer_name(node)}': operator '{operator_name(node)}' can't be quantized to {chosen}; leave it in "
                f"float with 'overrides: [{{operator: {operator_name(node)}, scheme: float}}]'"
            )
    schemes |= {node: "int16x8" for node, chosen in schemes.items() if chosen in ("int8", "w4a8") and node.meta.get(WIDE)}
    follow(schemes, named | {node for node in nodes if operator_name(node) == "cat"})
    return schemes


def summary(schemes: Mapping[fx.Node, str]) -> list[str]:
    """Lines for people: how many operators have each scheme, and the names of the layers left in float."""
    counts = Counter(schemes.values())
    lines = [f"{counts[scheme]} operators to {scheme}" for scheme in INTEGERS if counts[scheme]]
    left = [layer_name(node) for node, scheme in schemes.items() if scheme == "float"]
    return [*lines, f"left in float by overrides: {', '.join(left)}"] if left else lines


def by_layer(schemes: Mapping[fx.Node, str]) -> dict[str, str]:
    """The scheme of each layer; float where one of its operators is in float."""
    names = {layer_name(node): scheme for node, scheme in schemes.items()}
    return names | {layer_name(node): scheme for node, scheme in schemes.items() if scheme == "float"}


def granularities(graph: fx.Graph, overrides: Sequence[Override], granularity: Granularity = "channel") -> dict[str, Granularity]:
    """The granularity of every operator's weights, by the name of its node: `granularity` but for overrides."""
    found = dict.fromkeys((node.name for node in graph.nodes if node.op == "call_function"), granularity)
    for override in overrides:
        if override.weight_granularity is not None:
            fitting = (node.name for node in graph.nodes if node.op == "call_function" and override.fits(node))
            found |= dict.fromkeys(fitting, override.weight_granularity)
    return found


def _computes(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return is_float(node) or isinstance(value, tuple | list) or (value is None and operator_name(node) in RULES)
