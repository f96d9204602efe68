"""The layers of a quantized network beside those of the float network that they stand for."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import fx

from compress.context import Context
from compress.lowering.constants import dequantized, is_stored
from compress.lowering.nodes import argument, constant, is_constant, operand, operator_name, set_constant
from compress.model import Model, layer_name
from compress.pruning.patches import SUPPORTED
from compress.quantization.parameters import INT32_LIMIT
from compress.quantization.stepping import Batches, Stepper
from compress.quantization.threads import one_thread
from targets.errors import UserError

BATCH = 32
ELEMENTS = 1 << 26
"""How many numbers of the largest tensor are held at most: with more samples than that allows, fewer are used."""


@dataclass(frozen=True)
class Pair:
    """One layer: its node in the quantized graph and in that of the float network; `weight` dequantizes stored integers."""

    layer: fx.Node
    weight: fx.Node
    bias: fx.Node | None
    reference: fx.Node

    @property
    def name(self) -> str:
        """The layer's, as the source calls it."""
        return layer_name(self.reference)


def reference_of(model: Model, word: str) -> fx.GraphModule:
    """The float graph that a network was quantized from. UserError where it has none, or no integers."""
    if model.reference is None:
        raise UserError(f"{word}: there is no float network to compare with; put {word} right after a quantize that stores integers")
    return model.reference.graph


def pairs(graph: fx.GraphModule, reference: fx.GraphModule) -> list[Pair]:
    """Convolutions and linear layers whose weights are integers, in order, matched by the names of their weights."""
    nodes = [node for node in reference.graph.nodes if operator_name(node) in SUPPORTED and is_constant(node.args[1])]
    floats = {str(node.args[1].target): node for node in nodes}
    found = []
    for node in graph.graph.nodes:
        weight = node.args[1] if operator_name(node) in SUPPORTED else None
        if isinstance(weight, fx.Node) and is_stored(weight) and operator_name(weight).startswith("dequantize"):
            bias = argument(node, "bias")
            real = floats.get(stored(weight))
            if real is not None:
                found.append(Pair(node, weight, bias if isinstance(bias, fx.Node) else None, real))
    return found


def stored(node: fx.Node) -> str:
    """The name of the constant that a node reads, straight or as integers."""
    while node.op != "get_attr":
        node = node.all_input_nodes[0]
    return str(node.target)


def calibration(model: Model, context: Context, samples: int, word: str) -> Batches:
    """Calibration inputs in batches, as many samples as are asked for and fit into memory. UserError where there are none."""
    if context.data.calibration.samples == 0:
        raise UserError(f"{word}: there are no calibration samples; set 'calibration' under 'data' to 100 or more")
    sizes = [node.meta["val"].numel() for node in model.graph.graph.nodes if isinstance(node.meta.get("val"), torch.Tensor)]
    fits = max(1, ELEMENTS * model.example[0].shape[0] // max(sizes))
    part = context.data.calibration.first(min(samples, fits))
    return [tuple(torch.from_numpy(array) for array in inputs) for inputs, _ in part.batches(BATCH if model.free_batch else 1)]


@one_thread()
def change(model: Model, context: Context, samples: int, word: str, each: Callable[["Seen"], str]) -> tuple[fx.GraphModule, list[str]]:
    """A copy of a quantized graph whose layers `each` has changed, one after the other, and what it said of them.

    `word` is the pass's name. UserError where there is no float network to compare with, or no calibration sample.
    """
    reference = reference_of(model, word)
    batches = calibration(model, context, samples, word)
    graph, lines = model.copy_graph(), []
    found = pairs(graph, reference)
    with context.progress.task(word.replace("_", " "), len(found)) as task, torch.no_grad():
        for seen in side_by_side(found, graph, reference, batches):
            lines.append(f"{seen.pair.name}: {each(seen)}")
            task.advance(note=seen.pair.name)
    return graph, lines


def side_by_side(found: list[Pair], graph: fx.GraphModule, reference: fx.GraphModule, batches: Batches) -> Iterator["Seen"]:
    """Each layer with its inputs in the quantized network as it is by then, and the outputs that it has in the float network."""
    quantized = Stepper(graph, batches)
    real = Stepper(reference, batches, [pair.reference for pair in found])
    for pair in found:
        quantized.before(pair.layer)
        yield Seen(pair, quantized, constant(reference, pair.reference.args[1]), real.take(pair.reference))


@dataclass(frozen=True)
class Seen:
    """What `side_by_side` shows of one layer: its real weights, and the outputs that it should have, for each batch."""

    pair: Pair
    quantized: Stepper
    weights: torch.Tensor
    wanted: list[torch.Tensor]

    def input(self, batch: int) -> torch.Tensor:
        """The layer's input in the quantized network."""
        value: torch.Tensor = self.quantized.value(self.pair.layer.all_input_nodes[0], batch)
        return value

    def output(self, batch: int) -> torch.Tensor:
        """The layer's output in the quantized network, before an activation."""
        value: torch.Tensor = self.quantized.value(self.pair.layer, batch)
        return value


def bias_of(graph: fx.GraphModule, bias: fx.Node) -> torch.Tensor:
    """The bias that a node reads or dequantizes, as real numbers [channels], float64."""
    return (constant(graph, bias) if is_constant(bias) else dequantized(graph, bias)).double()


def set_bias(graph: fx.GraphModule, bias: fx.Node, values: torch.Tensor) -> None:
    """Stores a bias [channels] in the integers, or real numbers, that it has."""
    name = stored(bias)
    if not is_constant(bias):
        values = (values / constant(graph, bias.args[1]).double()).round().clamp(-INT32_LIMIT, INT32_LIMIT)
    set_constant(graph, name, values.to(graph.state_dict()[name].dtype))


def limits(weight: fx.Node) -> tuple[int, int]:
    """The lowest and highest integer of a dequantize node, which has them before its type."""
    numbers = [value for value in weight.args if isinstance(value, int)]
    return numbers[-2], numbers[-1]


def has_own_scales(graph: fx.GraphModule, pair: Pair) -> bool:
    """Whether a layer's weights have scales that can be changed: one for each output channel, which no other layer reads.

    Equal ones are those of weights whose user wanted one scale for the whole tensor. Those that a large bias asks for stay, too.
    """
    integers = [node for node in (pair.weight, pair.bias) if node is not None and not is_constant(node)]
    scales = [operand(node, "scales") for node in integers]
    readers = Counter(str(node.target) for node in graph.graph.nodes if node.op == "get_attr" for _ in node.users)
    own = all(scale is not None and readers[str(scale.target)] == 1 for scale in scales)
    if not own or torch.equal(*constant(graph, scales[0]).aminmax()):
        return False
    return all(graph.state_dict()[stored(node)].long().abs().max() < INT32_LIMIT // 2 for node in integers)


def set_scales(graph: fx.GraphModule, pair: Pair, scales: torch.Tensor) -> None:
    """Gives weights other scales [channels], float64, and the bias, if it is integers, those that follow. What it stands for changes."""
    ratio = scales / constant(graph, operand(pair.weight, "scales"))
    for node in (pair.weight, pair.bias):
        found = None if node is None else operand(node, "scales")
        if found is not None:
            set_constant(graph, str(found.target), (constant(graph, found) * ratio).float())


def by_channel(pair: Pair, output: torch.Tensor) -> torch.Tensor:
    """A layer's output as rows of channels [positions, channels], float64."""
    axis = -1 if operator_name(pair.layer) == "linear" else 1
    return output.movedim(axis, -1).flatten(0, -2).double()
