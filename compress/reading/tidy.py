"""What a converter left behind: axes moved and moved back, biases apart from their layers."""

from typing import Any

from torch import fx

from compress.lowering.nodes import argument, is_constant, operator_name

MOVES = {"permute", "transpose"}
RESHAPES = {"view", "reshape", "flatten", "squeeze", "unsqueeze", "unflatten"}


def cancel(graph: fx.GraphModule) -> None:
    """Leaves out permutations that undo each other, and reshapes that come back to a shape, in place. Shapes must be known."""
    for node in list(graph.graph.nodes):
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or not before.args or not isinstance(before.args[0], fx.Node):
            continue
        first = before.args[0]
        if operator_name(node) == "reshape" and operator_name(before) in MOVES and _keeps_order(before):
            node.replace_input_with(before, first)
        elif _undone(node, before) or (
            operator_name(node) in RESHAPES and operator_name(before) in RESHAPES and _shape(node) == _shape(first)
        ):
            node.replace_all_uses_with(first)
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def join_biases(graph: fx.GraphModule) -> None:
    """A matrix product and the addition of a constant vector are one layer with a bias, in place."""
    for node in list(graph.graph.nodes):
        if operator_name(node) != "add" or len(node.all_input_nodes) != 2:
            continue
        layer, bias = sorted(node.all_input_nodes, key=is_constant)
        if operator_name(layer) != "linear" or len(layer.args) > 2 or not is_constant(bias) or len(layer.users) > 1:
            continue
        if _shape(bias) == _shape(layer)[-1:]:
            with graph.graph.inserting_before(layer):
                moved = graph.graph.get_attr(str(bias.target))
            moved.meta = dict(bias.meta)
            layer.args = (*layer.args, moved)
            node.replace_all_uses_with(layer)
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _keeps_order(node: fx.Node) -> bool:
    """Whether only axes of length 1 move, so that the numbers stay in their order."""
    (before,) = (_shape(each) for each in node.all_input_nodes)
    longer = [axis for axis in _order(node) if before[axis] > 1]
    return longer == sorted(longer)


def _undone(node: fx.Node, before: fx.Node) -> bool:
    if operator_name(node) not in MOVES or operator_name(before) not in MOVES:
        return False
    first, second = _order(before), _order(node)
    return [first[axis] for axis in second] == list(range(len(first)))


def _order(node: fx.Node) -> list[int]:
    rank = len(_shape(node))
    if operator_name(node) == "permute":
        given: Any = argument(node, "dims")
        return [axis % rank for axis in given]
    order = list(range(rank))
    dimensions: list[Any] = [argument(node, name) for name in ("dim0", "dim1")]
    one, other = (dimension % rank for dimension in dimensions)
    order[one], order[other] = other, one
    return order


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)
