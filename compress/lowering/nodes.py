"""Small questions to nodes of an ATen graph, and constants read from and written to it."""

import operator

import torch
from torch import fx
from torch.utils import _pytree as pytree

from compress.model import layer_name
from compress.schemas import schema
from targets.errors import UserError


def operator_name(node: fx.Node) -> str:
    """The ATen or quantize operator of a node without namespace and overload (`conv2d`, `add`), or `getitem`; "" for anything else.

    Arithmetic on shapes (`operator.mul` of a free batch size) is nothing that a network computes.
    """
    if node.op != "call_function":
        return ""
    declared = schema(node)
    if declared:
        return str(declared.name).partition("::")[2]
    return "getitem" if node.target is operator.getitem else ""


def argument(node: fx.Node, name: str) -> object:
    """An operator's argument by its schema's name, its default where the call leaves it out; None where it has no such argument."""
    declared_operator = schema(node)
    for position, declared in enumerate(declared_operator.arguments if declared_operator else ()):
        if declared.name == name:
            if position < len(node.args):
                return node.args[position]
            return node.kwargs.get(name, declared.default_value)
    return None


def operand(node: fx.Node, name: str) -> fx.Node | None:
    """The node that an operator has for an argument; None where it has no such argument, or a plain value for it."""
    found = argument(node, name)
    return found if isinstance(found, fx.Node) else None


def is_constant(node: object) -> bool:
    """Whether a node reads a parameter or buffer."""
    return isinstance(node, fx.Node) and node.op == "get_attr"


def constant(graph: fx.GraphModule, node: object) -> torch.Tensor:
    """The parameter or buffer that a node reads."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        raise UserError(f"{node}: expected a weight stored in the network, found one that it computes")
    owner, _, leaf = str(node.target).rpartition(".")
    value = getattr(graph.get_submodule(owner), leaf)
    if not isinstance(value, torch.Tensor):
        raise UserError(f"{node.target}: expected a tensor, found {type(value).__name__}")
    return value.detach()


def set_constant(graph: fx.GraphModule, name: str, value: torch.Tensor) -> None:
    """Stores a parameter or buffer under a dotted name, in place of what had the name; missing modules on the way are made."""
    owner, _, leaf = name.rpartition(".")
    if owner:
        graph.add_submodule(owner, graph.get_submodule(owner) if _has_module(graph, owner) else torch.nn.Module())
    module = graph.get_submodule(owner)
    if hasattr(module, leaf):
        delattr(module, leaf)
    if isinstance(value, torch.nn.Parameter):
        module.register_parameter(leaf, value)
    else:
        module.register_buffer(leaf, value)


def add_constant(graph: fx.GraphModule, name: str, value: torch.Tensor) -> fx.Node:
    """A new node, at the graph's insertion point, that reads `value`, stored under `name`."""
    set_constant(graph, name, value)
    node = graph.graph.get_attr(name)
    node.meta["val"] = value.to("meta")
    return node


def is_float(node: object) -> bool:
    """Whether a node's value is one tensor of floating-point numbers."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def rank(node: fx.Node) -> int:
    """How many axes a node's tensor has."""
    value = node.meta["val"]
    return value.dim() if isinstance(value, torch.Tensor) else 0


def output_nodes(graph: fx.GraphModule) -> list[fx.Node]:
    """The nodes whose values the network gives, in order."""
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    return [value for value in pytree.tree_leaves(output.args[0]) if isinstance(value, fx.Node)]


def maker(node: fx.Node) -> fx.Node:
    """The node that made the numbers which a quantize/dequantize node passes on; any other node itself."""
    while "quantize_per" in operator_name(node) and isinstance(node.args[0], fx.Node):
        node = node.args[0]
    return node


def output_layers(graph: fx.GraphModule) -> list[str]:
    """For each output of the network a name of its own: that of the layer that makes it."""
    names: list[str] = []
    for node in output_nodes(graph):
        name = layer_name(maker(node))
        names.append(name if name not in names else f"{name}_{len(names)}")
    return names


def drop_unused(graph: fx.GraphModule) -> None:
    """Forgets the parameters and buffers that no node reads."""
    read = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    for name in set(graph.state_dict()) - read:
        owner, _, leaf = name.rpartition(".")
        delattr(graph.get_submodule(owner), leaf)
    graph.delete_all_unused_submodules()


def _has_module(graph: fx.GraphModule, name: str) -> bool:
    return any(path == name for path, _ in graph.named_modules())
