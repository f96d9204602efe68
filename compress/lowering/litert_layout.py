"""What litert-torch doesn't know: our own operators, and that zero padding can work on NHWC as it is, without transposes."""

import json
from functools import partial
from typing import Any

import torch
from litert_torch._convert.fx_passes.optimize_layout_transposes_pass.layout_check import (
    NHWCable,
    layout_sensitive_inputs_getters,
    nhwcable_node_checkers,
)
from litert_torch._convert.fx_passes.optimize_layout_transposes_pass.layout_rewrite import rewriters
from litert_torch.backend.lowerings import registry, utils
from torch import fx

from compress.lowering.own_operators import NAMES, NAMESPACE, overload

ANY_LAYOUT = ("requantize", "gelu", "logarithm", "join", "total", "pad_with")
"""Our own operators that need no certain layout."""


def register() -> None:
    """Teaches litert-torch zero padding and our own operators; does nothing the second time."""
    rewriters[torch.ops.aten.constant_pad_nd.default] = pad
    rewriters[torch.ops.aten.pad.default] = pad
    for name in NAMES:
        operator = overload(name)
        rewriters[operator] = channels_last
        layout_sensitive_inputs_getters[operator] = images
        if name not in ANY_LAYOUT:
            nhwcable_node_checkers[operator] = needs_channels_last
        registry.lower(operator)(partial(lower, f"{NAMESPACE}.{name}"))


def pad(node: fx.Node) -> None:
    """Padding counts pairs from the last axis: (W, H, C, N) of an NCHW tensor becomes (C, W, H, N) of the NHWC one."""
    amounts: Any = node.args[1]
    width, height, channels, batch = ([*amounts, 0, 0, 0, 0, 0, 0][2 * axis : 2 * axis + 2] for axis in range(4))
    reordered = [*channels, *width, *height, *batch]
    node.args = (node.args[0], reordered[: 8 if any(batch) else 6], *node.args[2:])


def channels_last(node: fx.Node) -> None:
    """Our own operators say so in their last argument."""
    node.args = (*node.args[:-1], True)


def images(node: fx.Node) -> Any:
    """What our own operators read in the order of axes that they are told: their first argument, be it one tensor or several."""
    first = node.args[0]
    return [first] if isinstance(first, fx.Node) else first


def needs_channels_last(node: fx.Node) -> Any:
    """Our own operators on images have kernels for NHWC only."""
    image = node.args[0].meta["val"].dim() == 4 if isinstance(node.args[0], fx.Node) else False
    return NHWCable(can_be=image, must_be=image)


def lower(name: str, context: Any, *arguments: Any) -> Any:
    """A custom call with this name: tensors are its inputs, all other arguments JSON in its configuration."""
    made = context.node.meta.get("tensor_meta") or context.node.meta["val"]
    given = [value for argument in arguments for value in (argument if _several(argument) else [argument])]
    tensors = [value for value in given if isinstance(value, utils.ir.Value)]
    options = [value for value in arguments if not isinstance(value, utils.ir.Value) and not _several(value)]
    kind = utils.ir.RankedTensorType.get(list(made.shape), utils.torch_dtype_to_ir_element_type(made.dtype))
    return utils.stablehlo.custom_call(
        call_target_name=name, inputs=tensors, result=[kind], backend_config=utils.ir.StringAttr.get(json.dumps(options))
    )


def _several(argument: Any) -> bool:
    return isinstance(argument, list | tuple) and bool(argument) and all(isinstance(value, utils.ir.Value) for value in argument)
