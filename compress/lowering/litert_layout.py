"""What litert-torch's layout pass doesn't know: operators that can work on NHWC as they are, so that it puts no transposes around them."""

from typing import Any

import torch
from litert_torch._convert.fx_passes.optimize_layout_transposes_pass.layout_rewrite import rewriters
from torch import fx


def register() -> None:
    """Teaches litert-torch's layout pass zero padding; does nothing the second time."""
    rewriters[torch.ops.aten.constant_pad_nd.default] = pad
    rewriters[torch.ops.aten.pad.default] = pad


def pad(node: fx.Node) -> None:
    """Padding counts pairs from the last axis: (W, H, C, N) of an NCHW tensor becomes (C, W, H, N) of the NHWC one."""
    amounts: Any = node.args[1]
    width, height, channels, batch = ([*amounts, 0, 0, 0, 0, 0, 0][2 * axis : 2 * axis + 2] for axis in range(4))
    reordered = [*channels, *width, *height, *batch]
    node.args = (node.args[0], reordered[: 8 if any(batch) else 6], *node.args[2:])
