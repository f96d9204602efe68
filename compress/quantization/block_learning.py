"""Gradient descent over the roundings of one block's weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compress.lowering.constants import dequantized
from compress.lowering.nodes import constant, operator_name
from compress.progress import Task
from compress.quantization.blocks import Block
from compress.quantization.layers import Pair, limits
from compress.quantization.learned_rounding import fake_quantize
from compress.quantization.soft_rounding import SoftWeights

DROPPED = 0.5
"""The share of places that are not rounded."""
WARM_UP = 0.2
"""The share of iterations before weights are drawn to integers."""
SHARPNESS = (20.0, 2.0)
"""Of what draws them, from there to the end: at first it moves only those that are nearly there already."""
PULL = 1.0
"""Its weight, beside the squared error as a share of what it was at the start."""
LEARNING_RATE = 1e-2
SMALLEST = 1e-12

Values = dict[fx.Node, torch.Tensor]
Rounding = Callable[[fx.Node, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Seen:
    """A batch at a block: what comes in, rounded and as the float network has it, and what should come out."""

    entering: torch.Tensor
    real: torch.Tensor
    wanted: torch.Tensor


@dataclass(frozen=True)
class Learner:
    """A block of a graph, the `constants` that its nodes read, the float network's weights, and where chance comes from."""

    block: Block
    graph: fx.GraphModule
    constants: Mapping[fx.Node, Any]
    real: Mapping[Pair, torch.Tensor]
    random: torch.Generator

    def error(self, batches: Sequence[Seen]) -> float:
        """How far outputs are off with the integers that the graph has by now: root of the mean square over the outputs' own."""
        now = {pair.weight: dequantized(self.graph, pair.weight) for pair in self.block.pairs}
        with torch.no_grad():
            errors = [_share(self._outputs(batch.entering, now, _rounded), batch.wanted) for batch in batches]
        return float(torch.stack(errors).mean().sqrt())

    def learn(self, batches: Sequence[Seen], iterations: int, task: Task) -> list[torch.Tensor]:
        """New integers, int8, for the weights of each pair. Nothing is stored."""
        start = max(self.error(batches) ** 2, SMALLEST)
        soft = {pair.weight: _soft(self.graph, pair, self.real[pair]) for pair in self.block.pairs}
        descent = torch.optim.Adam([weights.logits for weights in soft.values()], lr=LEARNING_RATE)
        for iteration in range(iterations):
            batch = batches[int(torch.randint(len(batches), (), generator=self.random))]
            with torch.enable_grad():
                values = {node: weights.values() for node, weights in soft.items()}
                outputs = self._outputs(self._drop(batch.entering, batch.real), values, self._rounded_here_and_there)
                loss = _share(outputs, batch.wanted) / start + _pull(list(soft.values()), iteration / iterations)
            descent.zero_grad()
            torch.autograd.backward(loss)
            descent.step()
            task.advance(note=self.block.name)
        return [weights.integers() for weights in soft.values()]

    def _outputs(self, entering: torch.Tensor, weights: Values, rounding: Rounding) -> torch.Tensor:
        """The block's output before it is rounded itself."""
        values = {**self.constants, **weights, self.block.start: entering}
        for node in self.block.nodes:
            values[node] = _value(node, values, rounding)
        outputs: torch.Tensor = values[self.block.end.all_input_nodes[0]]
        return outputs

    def _rounded_here_and_there(self, node: fx.Node, values: torch.Tensor) -> torch.Tensor:
        return self._drop(_rounded(node, values), values)

    def _drop(self, values: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.rand(values.shape, generator=self.random) < DROPPED, others, values)


def _value(node: fx.Node, values: Mapping[fx.Node, Any], rounding: Rounding) -> Any:
    name = operator_name(node)
    if name == "quantize_per_tensor":
        return rounding(node, values[node.all_input_nodes[0]])
    if name == "dequantize_per_tensor":
        return values[node.all_input_nodes[0]]
    arguments, keywords = fx.map_arg((node.args, node.kwargs), values.__getitem__)
    return node.target(*arguments, **keywords)  # type: ignore[operator]  # a call_function's target is callable


def _rounded(node: fx.Node, values: torch.Tensor) -> torch.Tensor:
    """What a quantize node's integers stand for."""
    scale, zero_point, lowest, highest = node.args[1:5]
    return fake_quantize(values, torch.tensor(scale), (zero_point, lowest, highest))  # type: ignore[arg-type]  # plain numbers


def _soft(graph: fx.GraphModule, pair: Pair, real: torch.Tensor) -> SoftWeights:
    integers = constant(graph, pair.weight.args[0])
    scales = constant(graph, pair.weight.args[1]).reshape([-1] + [1] * (integers.dim() - 1))
    return SoftWeights.around(integers, real, scales, limits(pair.weight))


def _pull(weights: Sequence[SoftWeights], done: float) -> torch.Tensor:
    """What draws weights to integers when this share of the iterations is done."""
    if done < WARM_UP:
        return torch.zeros(())
    sharpness = SHARPNESS[0] + (SHARPNESS[1] - SHARPNESS[0]) * (done - WARM_UP) / (1 - WARM_UP)
    return PULL * torch.stack([each.indecision(sharpness) for each in weights]).sum()


def _share(outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The mean squared error over the mean square."""
    return (outputs - wanted).square().mean() / wanted.square().mean().clamp(min=SMALLEST)
