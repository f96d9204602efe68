"""Rewrites that leave a network's function as it is and make it easier to quantize."""

import torch
from torch import fx

from compress.lowering.nodes import add_constant, argument, operator_name, rank

aten = torch.ops.aten
IDENTITIES = frozenset(
    {"dropout", "feature_dropout", "alpha_dropout", "clone", "contiguous", "alias", "detach", "detach_", "lift_fresh_copy"}
)
TENSOR_FORM = {"add": aten.add.Tensor, "sub": aten.sub.Tensor, "mul": aten.mul.Tensor, "div": aten.mul.Tensor}


def simplify(graph: fx.GraphModule) -> None:
    """Drops operators that do nothing in inference, and makes numbers in arithmetic constants, in place."""
    for node in list(graph.graph.nodes):
        if operator_name(node) in IDENTITIES:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
        elif operator_name(node) == "mean" and _drops_image_axes(node):
            _keep_axes(graph, node)
        elif operator_name(node) in TENSOR_FORM and len(node.args) == 2 and isinstance(node.args[1], int | float) and not node.kwargs:
            _constant_operand(graph, node, float(node.args[1]))
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _drops_image_axes(node: fx.Node) -> bool:
    axes = argument(node, "dim")
    image = isinstance(node.args[0], fx.Node) and rank(node.args[0]) == 4
    return image and isinstance(axes, list | tuple) and {axis % 4 for axis in axes} == {2, 3} and not argument(node, "keepdim")


def _keep_axes(graph: fx.GraphModule, node: fx.Node) -> None:
    """Global average pooling keeps its axes until it is flattened, so that a converter can leave channels last."""
    with graph.graph.inserting_before(node):
        pooled = graph.graph.call_function(aten.mean.dim, (node.args[0], [2, 3], True))
        flat = graph.graph.call_function(aten.flatten.using_ints, (pooled, 1))
    pooled.meta, flat.meta = dict(node.meta), dict(node.meta)
    pooled.meta["val"] = node.meta["val"][..., None, None]
    node.replace_all_uses_with(flat)
    graph.graph.erase_node(node)


def _constant_operand(graph: fx.GraphModule, node: fx.Node, number: float) -> None:
    name = operator_name(node)
    value = torch.tensor([1 / number if name == "div" else number])
    with graph.graph.inserting_before(node):
        operand = add_constant(graph, f"{node.name}_operand", value)
        replacement = graph.graph.call_function(TENSOR_FORM[name], (node.args[0], operand))
    replacement.meta = dict(node.meta)
    node.replace_all_uses_with(replacement)
    graph.graph.erase_node(node)
