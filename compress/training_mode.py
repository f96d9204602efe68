"""Switching a captured graph between training and inference: torch.export writes the mode into BatchNorm and dropout nodes."""

from collections.abc import Collection

from torch import fx

from compress.schemas import schema

DROPOUT = "train"
STATISTICS = "training"
"""What ATen's schemas call the flag: of operators that drop values, and of those that take statistics from the batch."""


def set_training(graph: fx.Graph, *, training: bool, flags: Collection[str] = (DROPOUT, STATISTICS)) -> None:
    """Sets the mode of every operator that has one of the flags, in place; a module that runs the graph is recompiled by its owner.

    Our own operators have their flags as keywords.
    """
    for node in graph.nodes:
        for name in flags:
            if name in node.kwargs:
                node.update_kwarg(name, training)
        declared = schema(node)
        for position, argument in enumerate(declared.arguments if declared else ()):
            if argument.name in flags and position < len(node.args):
                node.update_arg(position, training)
