"""Which tensors of a file are images: only those are held NCHW, so that nothing is turned around without need."""

from targets.formats.tflite import Graph, Operator

SPATIAL = {
    *("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESIZE_BILINEAR"),
    *("RESIZE_NEAREST_NEIGHBOR", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "PRELU"),
}
"""Operators that torch has for NCHW alone."""

CROSSINGS = {
    *("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "FULLY_CONNECTED", "BATCH_MATMUL", "PACK", "UNPACK", "BROADCAST_TO", "FILL"),
    *("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "ONE_HOT"),
}
"""Operators whose results may be held in another way than what they are given."""


def images(graph: Graph) -> set[int]:
    """The tensors with four axes that are images: network inputs, what spatial operators take and give, and what is computed of these
    number by number."""
    found = {index for index in graph.inputs if _four(graph, index)}
    for operator in graph.operators:
        if operator.name in SPATIAL:
            found |= set(_computed(graph, operator))
    before = -1
    while len(found) != before:
        before = len(found)
        for operator in (*graph.operators, *reversed(graph.operators)):
            tensors = _computed(graph, operator)
            if operator.name not in CROSSINGS and found & set(tensors):
                found |= set(tensors)
    return found


def _computed(graph: Graph, operator: Operator) -> list[int]:
    return [index for index in (*operator.inputs, *operator.outputs) if index >= 0 and _four(graph, index)]


def _four(graph: Graph, index: int) -> bool:
    return len(graph.tensors[index].shape) == 4 and graph.tensors[index].data is None
