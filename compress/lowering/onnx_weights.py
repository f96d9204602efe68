"""Integer weights of float operators in ONNX: what ONNX Runtime runs fast and with the torch graph's numbers."""

from typing import Any

import torch
from torch import fx

from compress.graph_operators import row_parameters
from compress.lowering import stored_weights
from compress.lowering.nodes import add_constant, argument, operator_name
from compress.lowering.stored_weights import Stored
from compress.model import layer_name

LAYER = "edgepress.layer"
"""Under this key a node's metadata name the layer that it computes."""
OFFSET = 128
"""What makes int8 weights uint8: on processors without VNNI, ONNX Runtime's product of uint8 and int8 overflows."""


def lower(graph: fx.GraphModule) -> bool:
    """Rewrites, in place, layers with stored weights as calls that trace to operators of ONNX; whether there are any.

    A linear layer on rounded activations becomes MatMulInteger. All other weights are read through Cast and Mul, which ONNX Runtime
    computes once, when it loads a file; DequantizeLinear it computes in every inference, which makes convolutions up to six times
    slower, and fuses with MatMul to one that rounds activations. Rounded activations of convolutions meet such weights too:
    ConvInteger takes seven times as long as Conv.
    """
    weights = [(node, stored_weights.describe(graph, node)) for node in stored_weights.nodes(graph)]
    for node, stored in weights:
        for reader in [user for user in node.users if operator_name(user) == "linear" and _is_rounded(user.args[0])]:
            _lower_linear(graph, reader, node, stored)
        _read_through_cast(graph, node, stored)
    for node in [node for node in graph.graph.nodes if operator_name(node) == stored_weights.ROUNDS]:
        _replace(node, round_samples, node.args[0])
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return bool(weights)


def _is_rounded(node: object) -> bool:
    return isinstance(node, fx.Node) and operator_name(node) == stored_weights.ROUNDS


def linear_of_integers(  # noqa: PLR0913, PLR0917  constants that are known beforehand
    x: torch.Tensor, weight: torch.Tensor, offset: torch.Tensor, sums: torch.Tensor, scales: torch.Tensor, bias: Any, layer: str
) -> torch.Tensor:
    """MatMulInteger on x [..., inputs], each row rounded to uint8 by itself.

    `weight` (uint8 [inputs, outputs]) is `offset` too large. `sums` (int32 [outputs]) are those of each output's true weights:
    ONNX Runtime knows no zero point for each row.
    """
    rows, outputs = x.reshape(-1, x.shape[-1]), weight.shape[1]
    scale, zero_point = _parameters(rows)
    integers = _onnx("QuantizeLinear", [rows, scale, zero_point], {"axis": 0}, torch.uint8, rows.shape)
    product = _onnx("MatMulInteger", [integers, weight, None, offset], {}, torch.int32, (rows.shape[0], outputs), layer)
    made = (product - zero_point.to(torch.int32).unsqueeze(1) * sums).to(torch.float32) * (scale.unsqueeze(1) * scales)
    made = made if bias is None else made + bias
    return made.reshape(*x.shape[:-1], outputs)


def round_samples(x: torch.Tensor) -> torch.Tensor:
    """Each sample of x [N, ...] rounded to uint8 by itself, and back."""
    scale, zero_point = _parameters(x)
    integers = _onnx("QuantizeLinear", [x, scale, zero_point], {"axis": 0}, torch.uint8, x.shape)
    return _onnx("DequantizeLinear", [integers, scale, zero_point], {"axis": 0}, torch.float32, x.shape)


def _parameters(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The scale and the zero point (uint8) of each index of the first axis."""
    axes = list(range(1, x.dim()))
    scale, zero_point = row_parameters(x.amin(axes), x.amax(axes), lowest=0)
    return scale, zero_point.to(torch.uint8)


def _onnx(  # noqa: PLR0913, PLR0917  ONNX's own
    operator: str, inputs: Any, attributes: Any, dtype: torch.dtype, shape: Any, layer: str | None = None
) -> torch.Tensor:
    named = {LAYER: layer} if layer else None
    return torch.onnx.ops.symbolic(operator, inputs, attributes, dtype=dtype, shape=tuple(shape), metadata_props=named)


def _lower_linear(graph: fx.GraphModule, layer: fx.Node, weight: fx.Node, stored: Stored) -> None:
    parts = {
        "_unsigned": (stored.integers.T.to(torch.int16) + OFFSET).to(torch.uint8).contiguous(),
        "_offset": torch.tensor(OFFSET, dtype=torch.uint8),
        "_sums": stored.integers.sum(1, dtype=torch.int32),
        "_factors_of_outputs": stored.scales,
    }
    with graph.graph.inserting_before(layer):
        constants = [add_constant(graph, f"{stored_weights.name_of(weight)}{ending}", value) for ending, value in parts.items()]
    source = layer.all_input_nodes[0].args[0]
    _replace(layer, linear_of_integers, source, *constants, argument(layer, "bias"), layer_name(layer))


def _read_through_cast(graph: fx.GraphModule, node: fx.Node, stored: Stored) -> None:
    integers, scales, axis = stored.integers, stored.scales, stored.axis
    shape = list(integers.shape)
    if stored.in_blocks:
        integers = integers.reshape(*shape[:axis], scales.shape[axis], -1, *shape[axis + 1 :])
        scales = scales.unsqueeze(axis + 1)
    else:
        scales = scales.reshape([-1 if place == axis else 1 for place in range(len(shape))])
    name, call = stored_weights.name_of(node), graph.graph.call_function
    with graph.graph.inserting_before(node):
        constants = [add_constant(graph, name, integers), add_constant(graph, f"{name}_factors", scales)]
        real = call(torch.ops.aten.mul.Tensor, (call(torch.ops.aten.to.dtype, (constants[0], torch.float32)), constants[1]))
        real = call(torch.ops.aten.reshape.default, (real, shape)) if stored.in_blocks else real
    node.replace_all_uses_with(real)


def _replace(node: fx.Node, function: Any, *arguments: Any) -> None:
    with node.graph.inserting_before(node):
        made = node.graph.call_function(function, arguments)
    made.meta = dict(node.meta)
    node.replace_all_uses_with(made)
    node.graph.erase_node(node)
