"""From a converter's complaint to the layer that it is about."""

import re

from torch import fx

from compress.lowering.nodes import operator_name
from compress.model import layer_name
from targets.errors import ExportError

OPERATOR = re.compile(r"(?:aten|prims|op='aten|op='prims)\.(\w+)")


def refused(graph: fx.GraphModule, file_format: str, error: Exception, cure: str) -> ExportError:
    """The error for the user: which layer and operator the format can't hold, as far as the converter's message tells."""
    names = OPERATOR.findall(str(error))
    for name in names:
        for node in graph.graph.nodes:
            if _same(operator_name(node), name):
                return ExportError(f"layer '{layer_name(node)}': {file_format} has no operator for '{operator_name(node)}'; {cure}")
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return ExportError(f"the network can't be written as {file_format}: {reason}; {cure}")


def _same(one: str, other: str) -> bool:
    return bool(one) and one.strip("_") in (other.strip("_"), other.strip("_").removesuffix("_backward"))
