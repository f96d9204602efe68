"""What ATen says of its operators: the only place that reaches for torch's schemas, which have no public name."""

from typing import Any

import torch
from torch import fx


def schema(node: fx.Node) -> Any:
    """The schema of a node's ATen operator: `name` ("aten::conv2d") and `arguments`; None for anything else that a node calls."""
    return node.target._schema if isinstance(node.target, torch._ops.OpOverload) else None  # noqa: SLF001  see above
