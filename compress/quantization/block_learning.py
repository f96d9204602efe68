"""Which weights of a block to round the other way: those by which slope and curvature of its error promise most, as long as it falls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from compress.lowering.constants import dequantized
from compress.lowering.nodes import constant, operator_name
from compress.progress import Task
from compress.quantization.blocks import Block
from compress.quantization.choices import Choices
from compress.quantization.layers import Pair, limits
from compress.quantization.learned_rounding import fake_quantize

FIRST = 16
"""So many weights change over at once to begin with; twice as many where that was right, a quarter where not."""
SMALLEST = 1e-12

Values = dict[fx.Node, torch.Tensor]


@dataclass(frozen=True)
class Seen:
    """A batch at a block: what comes in, in the quantized network, and what comes out in the float one."""

    entering: torch.Tensor
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
            errors = [_share(self._outputs(batch.entering, now), batch.wanted) for batch in batches]
        return float(torch.stack(errors).mean().sqrt())

    def learn(self, batches: Sequence[Seen], iterations: int, task: Task) -> list[torch.Tensor]:
        """New integers, int8, for the weights of each pair, whose error on these batches is no larger. Nothing is stored."""
        choices = {pair.weight: _choices(self.graph, pair, self.real[pair]) for pair in self.block.pairs}
        curvatures = self._curvatures(choices, batches)
        error, gains, together = self._error_of(choices, batches), None, FIRST
        for _ in range(iterations):
            task.advance(note=self.block.name)
            if gains is None:
                slopes = self._slopes(choices, batches)
                gains = {node: one.gains(slopes[node], curvatures[node]) for node, one in choices.items()}
            tried = _changed(choices, gains, together)
            found = self._error_of(tried, batches)
            if found < error:
                choices, error, gains, together = tried, found, None, 2 * together
            elif together > 1:
                together = max(1, together // 4)
            else:
                gains = {node: torch.where(tried[node].higher == choices[node].higher, gains[node], 0.0) for node in gains}
        return [each.integers() for each in choices.values()]

    def _error_of(self, choices: Mapping[fx.Node, Choices], batches: Sequence[Seen]) -> float:
        weights = {node: each.values() for node, each in choices.items()}
        with torch.no_grad():
            return sum(float(_share(self._outputs(batch.entering, weights), batch.wanted)) for batch in batches) / len(batches)

    def _slopes(self, choices: Mapping[fx.Node, Choices], batches: Sequence[Seen]) -> Values:
        """The gradient of the error by each weight."""

        def of(batch: Seen) -> Values:
            return self._gradients(choices, batch, lambda outputs: _share(outputs, batch.wanted))

        found = [of(batch) for batch in batches]
        return {node: torch.stack([each[node] for each in found]).mean(0) for node in choices}

    def _curvatures(self, choices: Mapping[fx.Node, Choices], batches: Sequence[Seen]) -> Values:
        """The error's second derivative by each weight (Gauss-Newton), by gradients of outputs summed with random signs."""

        def squares(batch: Seen) -> Values:
            signs = torch.randint(2, batch.wanted.shape, generator=self.random) * 2.0 - 1
            found = self._gradients(choices, batch, lambda outputs: (outputs * signs).sum())
            return {node: each.square() * 2 / batch.wanted.square().sum().clamp(min=SMALLEST) for node, each in found.items()}

        found = [squares(batch) for batch in batches]
        return {node: _smooth(torch.stack([each[node] for each in found]).mean(0)) for node in choices}

    def _gradients(self, choices: Mapping[fx.Node, Choices], batch: Seen, loss: Callable[[torch.Tensor], torch.Tensor]) -> Values:
        weights = {node: each.values().requires_grad_() for node, each in choices.items()}
        with torch.enable_grad():
            result = loss(self._outputs(batch.entering, weights))
        return dict(zip(weights, torch.autograd.grad(result, list(weights.values())), strict=True))

    def _outputs(self, entering: torch.Tensor, weights: Values) -> torch.Tensor:
        """The block's output before it is rounded itself."""
        values = {**self.constants, **weights, self.block.start: entering}
        for node in self.block.nodes:
            values[node] = _value(node, values)
        outputs: torch.Tensor = values[self.block.end.all_input_nodes[0]]
        return outputs


def _value(node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
    name = operator_name(node)
    if name == "quantize_per_tensor":
        return _rounded(node, values[node.all_input_nodes[0]])
    if name == "dequantize_per_tensor":
        return values[node.all_input_nodes[0]]
    arguments, keywords = fx.map_arg((node.args, node.kwargs), values.__getitem__)
    return node.target(*arguments, **keywords)  # type: ignore[operator]  # a call_function's target is callable


def _rounded(node: fx.Node, values: torch.Tensor) -> torch.Tensor:
    """What a quantize node's integers stand for."""
    scale, zero_point, lowest, highest = node.args[1:5]
    return fake_quantize(values, torch.tensor(scale), (zero_point, lowest, highest))  # type: ignore[arg-type]  # plain numbers


def _choices(graph: fx.GraphModule, pair: Pair, real: torch.Tensor) -> Choices:
    integers = constant(graph, pair.weight.args[0])
    scales = constant(graph, pair.weight.args[1]).reshape([-1] + [1] * (integers.dim() - 1))
    return Choices.around(integers, real, scales, limits(pair.weight))


def _smooth(curvatures: torch.Tensor) -> torch.Tensor:
    """The product of what outputs and inputs have on average: single ones are chance where random signs are few."""
    outputs = curvatures.mean(list(range(1, curvatures.dim())), keepdim=True)
    inputs = curvatures.mean(0, keepdim=True)
    return outputs * inputs / curvatures.mean().clamp(min=torch.finfo(torch.float32).tiny)


def _changed(choices: Mapping[fx.Node, Choices], gains: Values, together: int) -> dict[fx.Node, Choices]:
    """The choices with the `together` weights changed over that promise most."""
    every = torch.cat([each.flatten() for each in gains.values()])
    least = max(0.0, float(every.topk(min(together, len(every))).values[-1]))
    return {node: each.changed((gains[node] >= least) & (gains[node] > 0)) for node, each in choices.items()}


def _share(outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The mean squared error over the mean square."""
    return (outputs - wanted).square().mean() / wanted.square().mean().clamp(min=SMALLEST)
