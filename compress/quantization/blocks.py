"""Parts of a quantized network between places where one value alone goes on: what is reconstructed together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import fx

from compress.lowering.nodes import argument, operator_name
from compress.quantization.layers import Pair


@dataclass(frozen=True)
class Block:
    """What lies between `start`, the integers that all of a block's values come from, and `end`, the only ones that go on.

    `nodes` are the operators in order, neither of the two among them; `pairs` the layers with weights.
    """

    start: fx.Node
    end: fx.Node
    nodes: tuple[fx.Node, ...]
    pairs: tuple[Pair, ...]

    @property
    def constants(self) -> set[fx.Node]:
        """What the nodes read from outside: constants, and what is calculated from them alone."""
        return {value for node in self.nodes for value in node.all_input_nodes} - {self.start, *self.nodes}

    @property
    def name(self) -> str:
        """Of its layers."""
        return ", ".join(pair.name for pair in self.pairs)


def blocks(graph: fx.Graph, pairs: Sequence[Pair]) -> list[Block]:
    """The blocks of two layers or more, in order: what a residual sum bridges, and a depthwise convolution with the layer after it."""
    flowing = _flowing(graph)
    by_layer = {pair.layer: pair for pair in pairs}
    found, nodes, start = list[Block](), list[fx.Node](), None
    cuts = set(_cuts(flowing))
    for node in flowing:
        if node not in cuts:
            nodes.append(node)
            continue
        layers = tuple(by_layer[other] for other in nodes if other in by_layer)
        if start is not None and len(layers) == 1 and _is_depthwise(layers[0]):
            nodes.append(node)
            continue
        if start is not None and len(layers) > 1 and _closed(start, nodes, flowing):
            found.append(Block(start, node, tuple(nodes), layers))
        start, nodes = node, []
    return found


def _flowing(graph: fx.Graph) -> dict[fx.Node, int]:
    """The nodes whose values depend on the network's inputs, with their places."""
    found: dict[fx.Node, int] = {}
    for place, node in enumerate(graph.nodes):
        if node.op == "placeholder" or any(value in found for value in node.all_input_nodes):
            found[node] = place
    return found


def _cuts(flowing: dict[fx.Node, int]) -> Iterator[fx.Node]:
    """Quantize nodes that all later tensors come from."""
    alive: set[fx.Node] = set()
    for node, place in flowing.items():
        alive.add(node)
        alive = {value for value in alive if max((flowing.get(user, 0) for user in value.users), default=0) > place}
        if alive == {node} and operator_name(node) == "quantize_per_tensor":
            yield node


def _is_depthwise(pair: Pair) -> bool:
    groups = argument(pair.layer, "groups")
    return isinstance(groups, int) and groups > 1


def _closed(start: fx.Node, nodes: Sequence[fx.Node], flowing: dict[fx.Node, int]) -> bool:
    """Whether nodes read nothing but each other, constants and `start`: sizes of an earlier value, say, may come from elsewhere."""
    inside = {start, *nodes}
    return all(value in inside or value not in flowing for node in nodes for value in node.all_input_nodes)
