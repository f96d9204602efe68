"""Chooses the integers of a quantized network's weights by what its layers make of them."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import fx

from compress.clustering.history import clustered_weights
from compress.context import Context
from compress.lowering.constants import FOUR_BITS, dequantized
from compress.lowering.nodes import constant, set_constant
from compress.model import Model, Stage, Step
from compress.pruning.patches import Geometry
from compress.quantization import layers
from compress.quantization.least_squares import Moments, solve
from compress.quantization.reconstruction import reconstruct
from targets.errors import UserError, did_you_mean

Scope = Literal["layer", "block"]

ROWS = 2048
"""At most about this many rows (places of an output) of a batch are used, evenly spread."""
MULTIPLES = (1.0, 0.8, 0.87, 0.94, 1.06, 1.13)
"""Of its scale, tried for each channel of 4-bit weights. With 8 bits rounding costs too little for that to win anything that lasts."""


@dataclass(frozen=True)
class Adaround:
    """Adaptive rounding on `samples` calibration samples, no labels needed; see `compress.quantization.least_squares`.

    Layer by layer in order, weights are rounded so that the layer's outputs, its inputs being those that the quantized network has by
    then, come nearest to the float network's; its bias takes the mean error away. Each channel of 4-bit weights gets the best of a few
    scales too; all others stay as they are, and so do the integers of a layer that wouldn't gain. Goes after `quantize`.

    With `scope: block` what a residual sum bridges, and each depthwise convolution with the layer after it, is then rounded together,
    in `iterations` steps a block, where that makes the block's error smaller on calibration samples that the steps don't see; see
    `compress.quantization.reconstruction`.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "quantized"
    gives: ClassVar[Stage] = "quantized"

    samples: int = 200
    scope: Scope = "layer"
    iterations: int = 100

    def __post_init__(self) -> None:
        if self.scope not in get_args(Scope):
            raise UserError(f"scope '{self.scope}' is not known; {did_you_mean(self.scope, get_args(Scope))}")
        for name, value in (("samples", self.samples), ("iterations", self.iterations)):
            if value < 1:
                raise UserError(f"{name} must be at least 1, not {value}")

    def __call__(self, model: Model, context: Context) -> Model:
        """The network with other integers. UserError where it has none, its weights are clustered, or without calibration samples."""
        if clustered_weights(model):
            raise UserError("adaround gives weights that share a value different integers, which undoes cluster; leave one of the two out")
        graph, lines = layers.change(model, context, self.samples, "adaround", _round)
        if self.scope == "block" and not context.rehearsal:
            batches = layers.calibration(model, context, self.samples, "adaround")
            reference = layers.reference_of(model, "adaround")
            lines += reconstruct(graph, reference, batches, self.iterations, context)
        return model.then(graph, Step("adaround", asdict(self), tuple(lines)))


def _round(seen: layers.Seen) -> str:
    """Changes one layer's integers; says what its error was and is."""
    pair, graph, real = seen.pair, seen.quantized.graph_module, seen.weights
    geometry = Geometry.of(pair.reference, real)
    moments = _moments(seen, geometry)
    shape = (geometry.groups, -1, real[0].numel())
    scales, limits = _scales(graph, pair.weight, len(real)).reshape(*shape[:2], 1), layers.limits(pair.weight)
    now = dequantized(graph, pair.weight).double().reshape(shape)
    bias = layers.bias_of(graph, pair.bias) if pair.bias is not None else torch.zeros(len(real)).double()
    before = moments.error(now, bias.reshape(shape[:2]))
    multiples = MULTIPLES if limits[1] == FOUR_BITS and layers.has_own_scales(graph, pair) else MULTIPLES[:1]
    integers, chosen = solve(moments, real.double().reshape(shape), scales, limits, multiples)
    shift = moments.shift(integers * chosen) if pair.bias is not None else bias.reshape(shape[:2])
    after = moments.error(integers * chosen, shift)
    if after >= before:
        return f"output error stays {before:.2%}"
    set_constant(graph, layers.stored(pair.weight), integers.reshape(real.shape).to(torch.int8))
    if not torch.equal(chosen, scales):
        layers.set_scales(graph, pair, chosen.flatten())
    if pair.bias is not None:
        layers.set_bias(graph, pair.bias, shift.flatten())
    return f"output error {before:.2%} -> {after:.2%}"


def _moments(seen: layers.Seen, geometry: Geometry) -> Moments:
    moments = Moments()
    for number, wanted in enumerate(seen.wanted):
        inputs, outputs = geometry.rows(seen.input(number)), geometry.results(wanted)
        step = max(1, inputs.shape[1] // ROWS)
        moments.add(inputs[:, number % step :: step], outputs[:, number % step :: step])
    return moments


def _scales(graph: fx.GraphModule, weight: fx.Node, channels: int) -> torch.Tensor:
    """One for each output channel, float64; a dequantize node has them second."""
    scale = weight.args[1]
    found = constant(graph, scale) if isinstance(scale, fx.Node) else torch.tensor([scale])
    return found.double().expand(channels)
