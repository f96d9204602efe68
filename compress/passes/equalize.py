"""Evens out channels before quantization, the network's function left as it is."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import fx

from compress.context import Context
from compress.lowering.nodes import set_constant
from compress.model import Model, Stage, Step
from compress.quantization import equalization, familiarity, static
from targets.errors import UserError, did_you_mean

Scheme = Literal["int8", "int16x8", "w4a8"]


@dataclass(frozen=True)
class Equalize:
    """Cross-layer equalization (Nagel et al. 2019), by the noise that rounding makes; see `compress.quantization.equalization`.

    Channels are multiplied by factors where they are made and divided by them where they are read, through relu, leaky and parametric
    relu, pooling, padding, sums and reshaping; a residual sum's channels have a factor in common. What is bounded from above (relu6,
    sigmoid ...) stays as it is. `quantize` and `mixed_precision` do it by themselves; as a pass before them or `qat` it says what became
    of each layer. `scheme` is that of the pass that follows; `samples` of the calibration part show ranges and how much each place
    counts. BatchNorms are folded.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "float"

    scheme: Scheme = "int8"
    samples: int = equalization.SAMPLES

    def __post_init__(self) -> None:
        if self.scheme not in get_args(Scheme):
            raise UserError(f"scheme '{self.scheme}' is not known; {did_you_mean(self.scheme, get_args(Scheme))}")
        if self.samples < 1:
            raise UserError(f"samples must be at least 1, not {self.samples}")

    def __call__(self, model: Model, context: Context) -> Model:
        """The network with the same function. UserError without calibration samples."""
        static.calibration_part(context, "equalize")
        graph, folded = static.float_graph(model)
        lines = [f"folded {len(folded)} BatchNorm layers"] if folded else []
        lines += self._warning(model, context)
        lines += equalization.equalize(model, graph, self.scheme, context, self.samples)
        _learn(graph, model)
        return model.then(graph, Step("equalize", asdict(self), tuple(lines)))

    def _warning(self, model: Model, context: Context) -> list[str]:
        found = familiarity.warning(model, context.data.calibration)
        return [] if found is None else [found]


def _learn(graph: fx.GraphModule, model: Model) -> None:
    """Makes parameters again of what was computed for the network's layers, so that they can be counted and trained."""
    owners = {name.rpartition(".")[0] for name, _ in model.graph.named_parameters()}
    for name, values in list(graph.named_buffers()):
        if values.is_floating_point() and name.rpartition(".")[0] in owners:
            set_constant(graph, name, torch.nn.Parameter(values))
