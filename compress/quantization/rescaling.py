"""Which channels of a network may be multiplied by factors without a change of its function, and the multiplication.

A channel's factor travels with its values through everything that is positively homogeneous, f(s x) = s f(x), and is divided out of
the weights that read them (Nagel et al. 2019, section 4.1). Channels that meet in a sum, as at the end of a residual block, have one
factor.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from compress.lowering.nodes import argument, constant, set_constant
from compress.model import Model
from compress.pruning.analysis import Analysis, Call, Rule, analyse, operator
from compress.pruning.labels import spread
from compress.pruning.rules import RULES
from compress.pruning.rules.layout import RULES as MOVES
from compress.pruning.rules.pointwise import keep_all, spread_or_keep

LAYERS = ("conv1d", "conv2d", "conv3d", "linear")
HOMOGENEOUS = frozenset({"relu", "leaky_relu", "add", "sub", "neg", "dropout", "clone", "contiguous", "alias", "detach"})
_POOLS = ("avg_pool", "max_pool", "adaptive_avg_pool", "adaptive_max_pool", "upsample_nearest")
_FOLLOWED = (
    *(name for name in MOVES if name not in ("glu", "pad", "constant_pad_nd")),
    *(f"{name}{axes}d" for name in _POOLS for axes in (1, 2, 3)),
    *("upsample_bilinear2d", "mean", "amax"),
)


def followed(model: Model) -> Analysis:
    """Labels on the channels of a network with folded BatchNorms: channels of one class share a factor, that of class 0 is 1.

    `axes` has for each layer's weight the labels of its outputs (0) and of the channels that it reads (1), all groups' in order.
    """
    reads = Counter(str(node.target) for node in model.graph.graph.nodes if node.op == "get_attr" for _ in node.users)

    def layer(call: Call) -> Any:
        weight, axis = call.weight("weight"), -1 if operator(call.node) == "linear" else 1
        if weight is None or reads[weight] > 1 or reads[call.weight("bias") or ""] > 1 or call.result.ndim != call.values["input"].ndim:
            return keep_all(call, "its weights are calculated or shared")
        outputs = call.classes.fresh(call.result.shape[axis])
        call.analysis.axes[weight] = {0: outputs, 1: call.along("input", axis)}
        return spread(outputs, axis, call.result.shape)

    rules = {name: Rule(_with_computed_operands(RULES[name].spread)) for name in _FOLLOWED}
    rules |= dict.fromkeys(LAYERS, Rule(layer)) | {"prelu": RULES["prelu"], "sum": rules["mean"], "pad": Rule(_padding)}
    return analyse(model, rules, _pointwise)


def _with_computed_operands(spread_labels: Callable[[Call], Any]) -> Callable[[Call], Any]:
    """A constant among the operands would have to be multiplied as well: the channels that meet it stay."""

    def checked(call: Call) -> Any:
        if any(operand.op == "get_attr" for operand in call.node.all_input_nodes):
            return keep_all(call, "a constant meets them")
        return spread_labels(call)

    return checked


def _padding(call: Call) -> Any:
    if call.values["mode"] == "constant" and call.values["value"] not in (None, 0):
        return keep_all(call, "they are padded with a number")
    return RULES["pad"].spread(call)


def _pointwise(call: Call) -> Any:
    if operator(call.node) in HOMOGENEOUS:
        return _with_computed_operands(spread_or_keep)(call)
    return keep_all(call, f"operator {operator(call.node)} is not homogeneous")


def by_input(weight: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """For each output of a layer and each place of its weights' axis 1 the entry of `inputs`, one for each channel that it reads."""
    groups = len(inputs) // weight.shape[1]
    return inputs.reshape(groups, 1, -1).expand(-1, len(weight) // groups, -1).reshape(len(weight), -1)


def rescale(graph: fx.GraphModule, analysis: Analysis, factors: torch.Tensor) -> None:
    """Multiplies channels by their factors, float64 [labels], in place: a layer makes its outputs larger and undoes that of its inputs."""
    layers = [node for node in graph.graph.nodes if node.op == "call_function" and operator(node) in LAYERS]
    for node in layers:
        name = str(node.args[1].target)
        if name not in analysis.axes:
            continue
        outputs, inputs = (factors[analysis.classes.find(analysis.axes[name][axis])] for axis in (0, 1))
        weight, bias = constant(graph, node.args[1]).double(), argument(node, "bias")
        ratio = outputs[:, None] / by_input(weight, inputs)
        set_constant(graph, name, (weight * ratio.reshape(*ratio.shape, *[1] * (weight.dim() - 2))).float())
        if isinstance(bias, fx.Node):
            set_constant(graph, str(bias.target), (constant(graph, bias).double() * outputs).float())
