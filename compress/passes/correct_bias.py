"""Takes the mean error of each output channel out of a quantized network's biases."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch

from compress.context import Context
from compress.model import Model, Stage, Step
from compress.quantization import layers
from compress.unlifted import biases, network
from targets.errors import UserError


@dataclass(frozen=True)
class CorrectBias:
    """Empirical bias correction (Nagel et al. 2019, section 4.2) on `samples` calibration samples.

    Layer by layer in order, the bias of each output channel is changed by the mean difference between the float network's output and
    that of the quantized network as corrected so far. Scales stay as they are. Goes after `quantize`.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "quantized"
    gives: ClassVar[Stage] = "quantized"
    takes_unlifted: ClassVar[bool] = True

    samples: int = 200

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UserError(f"samples must be at least 1, not {self.samples}")

    def __call__(self, model: Model, context: Context) -> Model:
        """The network with corrected biases. UserError where it has no integers, or without calibration samples."""
        held = network.held(model)
        if held is not None:
            content, lines = biases.correct(model, held.content, context.data.calibration.first(self.samples), context.progress)
            return model.then(network.replaced(model, content), Step("correct_bias", asdict(self), tuple(lines)))
        graph, lines = layers.change(model, context, self.samples, "correct_bias", _correct)
        return model.then(graph, Step("correct_bias", asdict(self), tuple(lines)))


def _correct(seen: layers.Seen) -> str:
    """Changes one bias; says how large the mean error was."""
    graph, bias = seen.quantized.graph_module, seen.pair.bias
    if bias is None:
        return "has no bias that could be corrected"
    difference, spread, count = torch.zeros(()).double(), torch.zeros(()).double(), 0
    for number, wanted in enumerate(seen.wanted):
        rows = layers.by_channel(seen.pair, wanted)
        difference = difference + (rows - layers.by_channel(seen.pair, seen.output(number))).sum(0)
        spread = spread + rows.square().sum(0)
        count += len(rows)
    layers.set_bias(graph, bias, layers.bias_of(graph, bias) + difference / count)
    share = float((difference / count).square().mean().sqrt() / (spread / count).mean().sqrt().clamp(min=1e-30))
    return f"mean error of its channels was {share:.2%} of its output"
