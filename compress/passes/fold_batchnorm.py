"""Takes BatchNorms into the layers before them, as exporters do, for passes that want to see the weights that are computed with."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import fx

from compress.context import Context
from compress.lowering import batchnorm
from compress.lowering.nodes import constant, drop_unused, operator_name, rank, set_constant
from compress.model import Model, Stage, Step, layer_name


@dataclass(frozen=True)
class FoldBatchnorm:
    """Folds BatchNorms into convolutions, transposed convolutions and linear layers (Jacob et al. 2018, section 3.2).

    One that can't be folded, since it follows a concatenation for example, becomes a 1x1 convolution of each channel by itself
    (images), or a multiplication and an addition. The network's function stays the same up to rounding of float32. Training afterwards has
    no BatchNorms any more.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "float"

    def __call__(self, model: Model, context: Context) -> Model:  # noqa: ARG002  every pass is given a context
        """The network without BatchNorms."""
        graph = model.copy_graph()
        norms = [node for node in graph.graph.nodes if operator_name(node) == "batch_norm"]
        lines = [_fold(graph, norm) for norm in norms]
        graph.graph.eliminate_dead_code()
        drop_unused(graph)
        return model.then(graph, Step("fold_batchnorm", asdict(self), tuple(lines or ["there is no BatchNorm"])))


def _fold(graph: fx.GraphModule, norm: fx.Node) -> str:
    """Folds one BatchNorm, in place; says what became of it."""
    name, before = layer_name(norm), norm.all_input_nodes[0]
    reason = batchnorm.obstacle(before, norm)
    made = batchnorm.fold_one(graph, norm)
    _learn(graph, made)
    if reason is None:
        return f"{name}: folded into {layer_name(made)}"
    kind = "a 1x1 convolution of each channel" if rank(made) == 4 else "a multiplication and an addition"
    return f"{name}: becomes {kind}, because {reason}"


def _learn(graph: fx.GraphModule, node: fx.Node) -> None:
    """Makes parameters of the constants that a node reads, and of those of the multiplication before an addition."""
    for operand in node.all_input_nodes:
        if operand.op == "get_attr":
            set_constant(graph, str(operand.target), torch.nn.Parameter(constant(graph, operand).clone()))
        elif operator_name(node) == "add" and operator_name(operand) == "mul":
            _learn(graph, operand)
