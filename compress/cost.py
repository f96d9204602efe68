"""What a model costs before any target is asked: parameters, and multiply-accumulates for one sample, a row a layer."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import fx

from compress.model import Model, layer_name
from compress.schemas import schema
from compress.unlifted import layers as layers_of_file
from compress.unlifted import network


@dataclass(frozen=True)
class LayerCost:
    """One operator that multiplies or holds weights: `macs` for one sample, `parameters` without running statistics or scales.

    A weight that several layers share is counted with the first of them, so the rows add up to the model's totals.
    """

    name: str
    operator: str
    macs: int
    parameters: int


def parameters(model: Model) -> int:
    """How many numbers the network has learned, whatever their dtype (BatchNorm's running statistics and scales are not among them)."""
    return sum(layer.parameters for layer in layers(model))


def macs(model: Model) -> int:
    """Multiply-accumulates of convolutions, linear layers, matrix products, attention and recurrent layers for one sample."""
    return sum(layer.macs for layer in layers(model))


def layers(model: Model) -> tuple[LayerCost, ...]:
    """A row for each operator of a float or quantized graph that has MACs or parameters, in the order in which they run."""
    held = network.held(model)
    if held is not None:
        return tuple(LayerCost(*row) for row in layers_of_file.costs(held.content))
    counter = _Counter(model.graph)
    with torch.no_grad():
        counter.run(*model.sample())
    return tuple(counter.rows)


class _Counter(fx.Interpreter):
    """Runs one sample and notes what each operator costs."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.rows: list[LayerCost] = []
        self.counted: set[str] = set()

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.op == "call_function":
            arguments = self.map_nodes_to_values(n.args, n)
            count = _MACS.get(_operator(n))
            macs = count(arguments, result) if count else 0
            weights = 0 if _operator(n) in _CONVERSIONS else sum(self._new_parameters(operand) for operand in n.all_input_nodes)
            if macs or weights:
                self.rows.append(LayerCost(layer_name(n), _operator(n), macs, weights))
        return result

    def _new_parameters(self, node: fx.Node) -> int:
        """Elements of the weight that an operand is, or is the dequantized form of; 0 where it was counted before or is an activation."""
        converted = False
        while node.op == "call_function" and _operator(node) in _CONVERSIONS:
            node, converted = node.all_input_nodes[0], True
        if node.op != "get_attr" or str(node.target) in self.counted:
            return 0
        value = self.fetch_attr(str(node.target))
        if not converted and not isinstance(value, torch.nn.Parameter):
            return 0
        self.counted.add(str(node.target))
        return int(value.numel())


def _operator(node: fx.Node) -> str:
    """`conv2d` of `aten.conv2d.default`, whatever the overload."""
    declared = schema(node)
    return str(declared.name).partition("::")[2] if declared else str(node.target)


_CONVERSIONS = frozenset(
    f"{way}_per_{unit}" for way in ("quantize", "dequantize") for unit in ("tensor", "channel", "token", "channel_group")
) | {"to", "_to_copy"}


def _weighted(arguments: Any, result: torch.Tensor) -> int:
    """Convolution and linear: every weight once for each position of an output channel. Weight [out, in / groups, …]."""
    weight = arguments[1]
    return int(weight.numel() * (result.numel() // weight.shape[0]))


def _transposed(arguments: Any, result: torch.Tensor) -> int:  # noqa: ARG001  one signature for all
    """Transposed convolution: every weight once for each position of an input channel. Weight [in, out / groups, …]."""
    return int(arguments[1].numel() * (arguments[0].numel() // arguments[1].shape[0]))


def _product(arguments: Any, result: torch.Tensor) -> int:
    return int(result.numel() * arguments[0].shape[-1])


def _product_added(arguments: Any, result: torch.Tensor) -> int:
    return int(result.numel() * arguments[1].shape[-1])


def _attention(arguments: Any, result: torch.Tensor) -> int:
    """Scores [queries, keys] from queries and keys, then as many again to weigh the values."""
    query, key = arguments[0], arguments[1]
    return int(query.numel() * key.shape[-2] + result.numel() * key.shape[-2])


def _recurrent(arguments: Any, result: Any) -> int:
    """LSTM and GRU: every matrix once for each step of each sequence; weights are the list of four or two a layer and direction."""
    weights = next(each for each in arguments[1:] if isinstance(each, list | tuple) and any(tensor.ndim == 2 for tensor in each))
    outputs = result[0]
    return int(sum(tensor.numel() for tensor in weights if tensor.ndim == 2) * prod(outputs.shape[:2]))


_MACS: dict[str, Callable[[Any, Any], int]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution", "linear"), _weighted),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed),
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot"), _product),
    **dict.fromkeys(("addmm", "baddbmm"), _product_added),
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(("lstm", "gru"), _recurrent),
}
