"""A float graph that computes as its integers will and whose scales learn (Esser et al. 2020), and what it has learned."""

import copy
import operator
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import fx

from compress.lowering import batchnorm
from compress.lowering.nodes import add_constant, argument, constant, drop_unused, is_constant, operand, operator_name, set_constant
from compress.model import Model
from compress.quantization import static
from compress.quantization.conversion import convert, float_edges
from compress.quantization.learned_rounding import fake_quantize, folded_norm, positive, renormalized, round_bias
from compress.quantization.parameters import Affine, Granularity, WeightObserver, weight_scales, with_room_for_bias
from compress.quantization.plan import Group, Plan, Weighted, plan
from compress.quantization.schemes import largest_weight

SCALES = "learned_scales"
"""The submodule that holds the logarithms of the scales."""


@dataclass(frozen=True, eq=False)
class Parameters:
    """A plan's numbers in its order: of its groups, and the scales of its layers' weights (float32 [channels], [1] where all share one)."""

    activations: tuple[Affine, ...]
    weights: tuple[torch.Tensor, ...]


def start(
    graph: fx.GraphModule,
    wanted: Plan,
    activations: Mapping[Group, Affine],
    weight_observer: WeightObserver,
    granularities: Mapping[str, Granularity],
) -> Parameters:
    """Where learning starts: what quantization without training would take. `granularities` are by the names of layers' nodes."""
    weights = []
    for layer in wanted.weighted:
        granularity = granularities[layer.layer.name]
        scales = weight_scales(constant(graph, layer.weight), layer.channel_axis, layer.bits, weight_observer, granularity)
        if layer.bias is not None:
            scales = with_room_for_bias(scales, constant(graph, layer.bias), activations[layer.source])
        weights.append(scales.amax(0, keepdim=True) if granularity == "tensor" else scales)
    return Parameters(tuple(activations[group] for group in wanted.groups), tuple(weights))


def learning(model: Model, graph: fx.GraphModule, schemes: Mapping[str, str], initial: Parameters) -> fx.GraphModule:
    """A copy of a model's float graph (`static.float_graph`) that rounds wherever integers will be.

    `schemes` are by the names of operators' nodes. The logarithms of the scales are parameters of the graph, and so are the weights
    and BatchNorms of the model, which fold in the graph itself.
    """
    made, unfolded = copy.deepcopy(graph), static.unfolded_graph(model)
    layers = {node.name: node for node in made.graph.nodes}
    wanted = _plan(made, schemes)
    insertion = _Insertion(made, wanted, initial)
    for value, reader in float_edges(made.graph):
        insertion.connect(value, reader)
    for node in [node for layer in wanted.weighted for node in (layer.weight, layer.bias) if node is not None]:
        _free(made, node, unfolded)
    for layer, norm in batchnorm.pairs(unfolded):
        _unfold(made, layers[layer.name], unfolded, layer, norm)
    for index, weighted in enumerate(wanted.weighted):
        insertion.weigh(weighted, _weight(index), initial.weights[index])
    made.graph.eliminate_dead_code()
    drop_unused(made)
    made.recompile()
    return made


def learned(graph: fx.GraphModule, initial: Parameters) -> Parameters:
    """The parameters of a graph that `learning` made with these initial ones and that was trained since, to the bit as it computes."""
    logarithms = {name: logarithm.detach() for name, logarithm in graph.named_parameters() if name.startswith(f"{SCALES}.")}
    scales = {name: positive(logarithm) for name, logarithm in logarithms.items()}
    affines = enumerate(initial.activations)
    activations = tuple(replace(affine, scale=float(scales.get(_activation(index), affine.scale))) for index, affine in affines)
    return Parameters(activations, tuple(scales[_weight(index)] for index in range(len(initial.weights))))


def trained_graph(model: Model, graph: fx.GraphModule) -> fx.GraphModule:
    """The model's float graph with the weights and BatchNorms of a graph that `learning` made of it and that was trained since."""
    norms = [node for node in graph.graph.nodes if node.target is renormalized]
    statistics = {str(node.target) for norm in norms for node in norm.all_input_nodes if is_constant(node)}
    names = statistics | {name for name, _ in graph.named_parameters()}
    state, made = graph.state_dict(), static.unfolded_graph(model)
    made.load_state_dict({name: state[name] if name in names else value for name, value in made.state_dict().items()})
    static.fold(made, model)
    return made


def to_integers(graph: fx.GraphModule, schemes: Mapping[str, str], parameters: Parameters) -> fx.GraphModule:
    """A copy of a float graph with integers in it that have these parameters. `schemes` are by the names of operators' nodes."""
    made, weights = copy.deepcopy(graph), {}
    wanted = _plan(made, schemes)
    for layer, scales in zip(wanted.weighted, parameters.weights, strict=True):
        weights[layer.layer] = scales.expand(constant(made, layer.weight).shape[layer.channel_axis]).contiguous()
    convert(made, wanted, dict(zip(wanted.groups, parameters.activations, strict=True)), weights)
    return made


def _plan(graph: fx.GraphModule, schemes: Mapping[str, str]) -> Plan:
    return plan(graph.graph, {node: schemes[node.name] for node in graph.graph.nodes if node.name in schemes})


class _Insertion:
    def __init__(self, graph: fx.GraphModule, wanted: Plan, initial: Parameters) -> None:
        self.graph, self.plan = graph, wanted
        self.affine = dict(zip(wanted.groups, initial.activations, strict=True))
        self.made: dict[tuple[fx.Node, Group], fx.Node] = {}
        with graph.graph.inserting_before(next(iter(graph.graph.nodes))):
            self.scales = {
                group: self._scale(_activation(index), torch.tensor(self.affine[group].scale), learns=group.fixed is None)
                for index, group in enumerate(wanted.groups)
            }

    def connect(self, value: fx.Node, reader: fx.Node) -> None:
        """Rounds a value on its way to a reader."""
        real = value
        with self.graph.graph.inserting_before(reader):
            for group in self.plan.groups_between(value, reader):
                if (value, group) not in self.made:
                    found = self.affine[group]
                    integers = (found.zero_point, found.integers.lowest, found.integers.highest)
                    self.made[value, group] = self.graph.graph.call_function(fake_quantize, (real, self.scales[group], integers))
                real = self.made[value, group]
        if real is not value:
            reader.replace_input_with(value, real)

    def weigh(self, layer: Weighted, name: str, initial: torch.Tensor) -> None:
        """Rounds a layer's weight and bias."""
        node, limit = layer.layer, largest_weight(layer.bits)
        weight, bias = (operand(node, name) for name in ("weight", "bias"))
        channels = layer.weight.meta["val"].shape[layer.channel_axis]
        with self.graph.graph.inserting_before(node):
            scale = self._scale(name, initial, learns=True)
            if len(initial) < channels:
                scale = self.graph.graph.call_function(torch.ops.aten.expand.default, (scale, [channels]))
            if weight is not None:
                arguments = (weight, scale, (0, -limit, limit), layer.channel_axis)
                node.replace_input_with(weight, self.graph.graph.call_function(fake_quantize, arguments))
            if bias is not None and layer.bias is not None:
                rounded = self.graph.graph.call_function(round_bias, (bias, scale, self.scales[layer.source]))
                node.replace_input_with(bias, rounded)

    def _scale(self, name: str, initial: torch.Tensor, *, learns: bool) -> fx.Node:
        if not learns:
            return add_constant(self.graph, name, initial)
        logarithm = add_constant(self.graph, name, torch.nn.Parameter(initial.log()))
        return self.graph.graph.call_function(positive, (logarithm,))


def _free(graph: fx.GraphModule, node: fx.Node, unfolded: fx.GraphModule) -> None:
    """Lets a layer's constant learn, unless it is one that folding a BatchNorm changed or made."""
    name, value = str(node.target), constant(graph, node)
    before = unfolded.state_dict().get(name)
    if before is not None and torch.equal(before, value):
        set_constant(graph, name, torch.nn.Parameter(value.clone()))


def _unfold(graph: fx.GraphModule, layer: fx.Node, unfolded: fx.GraphModule, original: fx.Node, norm: fx.Node) -> None:
    """Lets a layer compute the weight and bias that it has with a BatchNorm folded in, from its own and the BatchNorm's."""

    def read(node: fx.Node | None, *, learns: bool) -> fx.Node | None:
        if node is None:
            return None
        value = constant(unfolded, node).clone()
        return add_constant(graph, str(node.target), torch.nn.Parameter(value) if learns else value)

    epsilon, momentum = (value if isinstance(value := argument(norm, name), float) else 0.0 for name in ("eps", "momentum"))
    with graph.graph.inserting_before(layer):
        weight, bias = (read(operand(original, name), learns=True) for name in ("weight", "bias"))
        statistics = [read(operand(norm, name), learns=False) for name in ("running_mean", "running_var")]
        constants = (*statistics, *(read(operand(norm, name), learns=True) for name in ("weight", "bias")), epsilon)
        arguments = (weight, bias, constants, batchnorm.CHANNEL_AXIS[operator_name(layer)])
        both = graph.graph.call_function(folded_norm, arguments)
        folded = [graph.graph.call_function(operator.getitem, (both, index)) for index in range(2)]
    layer.args = (layer.args[0], *folded, *layer.args[3:])
    with graph.graph.inserting_after(layer):
        outputs = graph.graph.call_function(renormalized, (layer, (folded[1], bias), constants, momentum), {"training": False})
    layer.replace_all_uses_with(outputs, delete_user_cb=lambda user: user is not outputs)


def _activation(index: int) -> str:
    return f"{SCALES}.activation_{index}"


def _weight(index: int) -> str:
    return f"{SCALES}.weight_{index}"
