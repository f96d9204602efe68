"""Switching a captured graph between training and inference: torch.export writes the mode into BatchNorm and dropout nodes."""

import torch
from torch import fx

aten = torch.ops.aten

MODE_ARGUMENT = {aten.batch_norm.default: 5, aten.dropout.default: 2, aten.instance_norm.default: 5}
"""Position of the flag that says training, for each operator that behaves differently then."""


def set_training(graph: fx.GraphModule, *, training: bool) -> None:
    """Sets the mode of every BatchNorm and dropout in place and recompiles."""
    for node in graph.graph.nodes:
        position = MODE_ARGUMENT.get(node.target)
        if position is not None:
            node.args = (*node.args[:position], training, *node.args[position + 1 :])
    graph.recompile()
