"""LSTM and GRU, unrolled: a layer's steps share their weights, which are stored once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compress.lowering.decompositions.normalization import wide
from compress.lowering.nodes import add_constant, argument, constant, operator_name
from compress.lowering.rewriting import call

aten = torch.ops.aten
States = list[Any]
"""A node for the hidden state, and one for an LSTM's cell; None where they are zero, before the first step."""
Step = Callable[["Recurrent", "Weights", fx.Node, States], States]


@dataclass(frozen=True)
class Weights:
    """Of one layer in one direction: nodes of the weights for inputs and hidden states, values of the biases."""

    inputs: fx.Node
    hidden: fx.Node
    input_bias: torch.Tensor
    hidden_bias: torch.Tensor


@dataclass(frozen=True)
class Recurrent:
    """A recurrent operator of a network."""

    graph: fx.GraphModule
    node: Any

    @property
    def time(self) -> int:
        """The axis of steps."""
        return 1 if argument(self.node, "batch_first") else 0

    def weights(self) -> list[Weights]:
        """Of each layer, forwards and, where it has both directions, backwards."""
        parameters, each = argument(self.node, "params"), 4 if argument(self.node, "has_biases") else 2
        groups: list[Any] = [parameters[start : start + each] for start in range(0, len(parameters), each)]  # type: ignore[index,arg-type]
        none = torch.zeros(constant(self.graph, groups[0][0]).shape[0])
        return [Weights(*group[:2], *([constant(self.graph, bias) for bias in group[2:]] or [none, none])) for group in groups]

    def call(self, operator: Any, *arguments: Any) -> fx.Node:
        """An operator of this layer."""
        return call(self.node, operator, *arguments)

    def wide(self, operator: Any, *arguments: Any) -> fx.Node:
        """An operator of this layer with activations of 16 bits: errors of 8 add up from step to step."""
        return wide(call(self.node, operator, *arguments))

    def constant(self, beside: fx.Node, ending: str, value: torch.Tensor) -> fx.Node:
        """A new constant, named after a weight."""
        return add_constant(self.graph, f"{beside.target}_{ending}", value)

    def parts(self, gates: fx.Node, count: int, size: int) -> list[fx.Node]:
        """A step's gates one by one."""
        return [self.call(aten.slice.Tensor, gates, 1, part * size, (part + 1) * size) for part in range(count)]

    def stacked(self, steps: Sequence[fx.Node], axis: int) -> fx.Node:
        """Steps or states [batch, size] along a new axis, 0 or 1."""
        joined = self.call(aten.unflatten.int, self.call(aten.cat.default, list(steps), 1), 1, [len(steps), -1])
        return joined if axis == 1 else self.call(aten.transpose.int, joined, 0, 1)


def lstm(graph: fx.GraphModule, node: Any) -> tuple[fx.Node, ...] | None:
    """Input, forget, cell and output gates (Hochreiter and Schmidhuber 1997, as torch.nn.LSTM orders them)."""
    states = argument(node, "hx")
    return _unrolled(Recurrent(graph, node), list(states), _lstm_step) if isinstance(states, list | tuple) and len(states) == 2 else None


def gru(graph: fx.GraphModule, node: Any) -> tuple[fx.Node, ...] | None:
    """Reset, update and new gates (Cho et al. 2014, as torch.nn.GRU orders them)."""
    return _unrolled(Recurrent(graph, node), [argument(node, "hx")], _gru_step)


def _unrolled(layer: Recurrent, first: States, step: Step) -> tuple[fx.Node, ...] | None:
    weights = layer.weights()
    if any(constant(layer.graph, each.hidden).shape[0] % constant(layer.graph, each.hidden).shape[1] for each in weights):
        return None  # hidden states that are projected
    directions = 2 if argument(layer.node, "bidirectional") else 1
    values, last = layer.node.args[0], []
    steps = values.meta["val"].shape[layer.time]
    for number in range(0, len(weights), directions):
        made = []
        for direction in range(directions):
            states = [_initial(layer, state, number + direction) for state in first]
            outputs, ending = _run(layer, weights[number + direction], values, states, step, steps, direction == 1)
            made.append(outputs)
            last.append(ending)
        joined = [each[0] if directions == 1 else layer.call(aten.cat.default, list(each), 1) for each in zip(*made, strict=True)]
        values = layer.stacked(joined, layer.time)
    return (values, *(layer.stacked([states[position] for states in last], 0) for position in range(len(first))))


def _run(  # noqa: PLR0913, PLR0917  what a run is made of
    layer: Recurrent, weights: Weights, values: fx.Node, states: States, step: Step, steps: int, backwards: bool
) -> tuple[list[fx.Node], States]:
    """The hidden state of each step, in the order of time, and the last states."""
    bias = weights.input_bias + _bias_with_inputs(weights, len(states))
    projected = layer.call(aten.linear.default, values, weights.inputs, layer.constant(weights.inputs, "bias", bias))
    outputs = []
    for moment in reversed(range(steps)) if backwards else range(steps):
        states = step(layer, weights, layer.call(aten.select.int, projected, layer.time, moment), states)
        outputs.append(states[0])
    return outputs[::-1] if backwards else outputs, states


def _bias_with_inputs(weights: Weights, states: int) -> torch.Tensor:
    """What of the hidden states' bias can be added with the inputs': all but that of a GRU's new gate, which is reset."""
    if states == 2:
        return weights.hidden_bias
    kept = weights.hidden_bias.clone()
    kept[2 * len(kept) // 3 :] = 0
    return kept


def _initial(layer: Recurrent, state: Any, number: int) -> fx.Node | None:
    return None if operator_name(state) in ("zeros", "zeros_like", "new_zeros") else layer.call(aten.select.int, state, 0, number)


def _lstm_step(layer: Recurrent, weights: Weights, gates: fx.Node, states: States) -> States:
    hidden, cell = states
    size = constant(layer.graph, weights.hidden).shape[1]
    if hidden is not None:
        gates = layer.wide(aten.add.Tensor, gates, layer.call(aten.linear.default, hidden, weights.hidden))
    taken, forgotten, new, shown = layer.parts(gates, 4, size)
    written = layer.wide(aten.mul.Tensor, layer.wide(aten.sigmoid.default, taken), layer.wide(aten.tanh.default, new))
    if cell is not None:
        written = layer.wide(aten.add.Tensor, layer.wide(aten.mul.Tensor, layer.wide(aten.sigmoid.default, forgotten), cell), written)
    hidden = layer.wide(aten.mul.Tensor, layer.wide(aten.sigmoid.default, shown), layer.wide(aten.tanh.default, written))
    return [hidden, written]


def _gru_step(layer: Recurrent, weights: Weights, gates: fx.Node, states: States) -> States:
    (hidden,) = states
    size = constant(layer.graph, weights.hidden).shape[1]
    kept = weights.hidden_bias.clone()
    kept[: 2 * size] = 0
    reset, update, new = layer.parts(gates, 3, size)
    if hidden is None:
        remembered = layer.constant(weights.hidden, "first", kept[None, 2 * size :])
    else:
        bias = layer.constant(weights.hidden, "bias", kept)
        parts = layer.parts(layer.call(aten.linear.default, hidden, weights.hidden, bias), 3, size)
        reset, update = (layer.wide(aten.add.Tensor, ours, theirs) for ours, theirs in zip((reset, update), parts[:2], strict=True))
        remembered = parts[2]
    reset, update = layer.wide(aten.sigmoid.default, reset), layer.wide(aten.sigmoid.default, update)
    new = layer.wide(aten.tanh.default, layer.wide(aten.add.Tensor, new, layer.wide(aten.mul.Tensor, reset, remembered)))
    if hidden is None:
        return [layer.wide(aten.sub.Tensor, new, layer.wide(aten.mul.Tensor, update, new))]
    return [layer.wide(aten.add.Tensor, new, layer.wide(aten.mul.Tensor, update, layer.wide(aten.sub.Tensor, hidden, new)))]
