"""Makes a network's numbers smaller: integers from end to end, or float16 weights."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, get_args

from torch import fx

from compress.clustering.history import clustered_weights
from compress.context import Context
from compress.lowering import kernels
from compress.model import Model, Stage, Step, layer_name
from compress.quantization import equalization, familiarity, ranges, static, weights_only
from compress.quantization.chosen import NOTHING
from compress.quantization.halves import halve
from compress.quantization.neural_compressor import engine
from compress.quantization.neural_compressor.engine import Algorithm
from compress.quantization.overrides import Override, by_layer, granularities, resolve, summary
from compress.quantization.parameters import Granularity, WeightObserver
from compress.quantization.plan import plan
from compress.quantization.rounding import ROUNDINGS, Rounding, WeightRounding
from compress.quantization.schemes import INTEGERS
from compress.unlifted import network, quantizing
from targets.errors import UserError, did_you_mean

Scheme = Literal["int8", "int16x8", "w4a8", "dynamic", "weight_only", "float16"]
Engine = Literal["edgepress", "neural-compressor"]


@dataclass(frozen=True)
class Quantize:
    """Quantizes without training, from the calibration samples alone.

    `int8` is TFLite's full-integer specification: weights symmetric with a scale for each output channel, activations asymmetric,
    biases int32. `int16x8` has symmetric activations of 16 bits, `w4a8` weights of 4 bits. `float16` halves the weights and leaves
    the arithmetic in float. `observer` chooses the range of an activation: `minmax`, `moving_average` (of each batch's extremes),
    `percentile` (99.99 % of the values), `mse` (smallest squared error) or `entropy` (least Kullback-Leibler divergence);
    `weight_observer` that of a channel of weights; with `weight_granularity: tensor` all channels of a layer have one scale.
    `weight_rounding: balanced` rounds weights so that the errors of a kernel and of a channel cancel, `nearest` each by itself.
    `equalize` evens out channels first, as the pass of that name does, where that pass hasn't run, channels have scales of their own and
    no clusters would be torn apart.
    `full_integer` makes a layer in float an error; left out, it is true where C is exported.
    `overrides` are rules in order, the last that fits a layer wins:
    `{match: "head\\..*", scheme: float}` for layer names, `{operator: softmax, scheme: float}` for operators, or both.
    `dynamic` and `weight_only` need no calibration: weights of convolutions, linear layers and embeddings are integers, of `bits` 8 or 4
    in `weight_only`, with a scale for each channel or for each `block` of so many inputs; activations stay float, and are rounded to int8
    as they come into a layer in `dynamic`.
    `engine: neural-compressor` lets Intel's tool choose by one of its algorithms: `static` and `smooth-quant` ranges and weights of
    `int8`, `gptq`, `awq`, `autoround` and `rtn` the weights of any scheme of integers; what it leaves open is chosen as without it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "quantized"
    takes_unlifted: ClassVar[bool] = True

    scheme: Scheme = "int8"
    observer: str = "mse"
    weight_observer: WeightObserver = "mse"
    weight_granularity: Granularity = "channel"
    weight_rounding: WeightRounding = "balanced"
    equalize: bool = True
    overrides: tuple[Override, ...] = ()
    bits: weights_only.Bits = 8
    block: int | None = None
    engine: Engine = "edgepress"
    algorithm: Algorithm | None = None
    full_integer: bool | None = None

    def __post_init__(self) -> None:
        words = {"scheme": get_args(Scheme), "weight_observer": get_args(WeightObserver), "observer": ranges.OBSERVERS}
        words |= {"engine": get_args(Engine), "weight_granularity": get_args(Granularity), "weight_rounding": ROUNDINGS}
        for name, possible in words.items():
            if getattr(self, name) not in possible:
                raise UserError(f"{name} '{getattr(self, name)}' is not known; {did_you_mean(getattr(self, name), possible)}")
        if self.overrides and self.scheme == "float16":
            raise UserError("overrides choose between integers and float, which scheme float16 has none of; use another scheme")
        if self.full_integer and self.scheme not in INTEGERS:
            raise UserError(f"quantize: full_integer needs one of these schemes: {', '.join(INTEGERS)}; {self.scheme} computes in float")
        if self.scheme in weights_only.SCHEMES and self.algorithm is not None:
            raise UserError(f"quantize: scheme {self.scheme} chooses its weights itself; leave 'engine' and 'algorithm' out")
        weights_only.check(self.scheme, self.bits, self.block, self.weight_granularity, self.overrides)
        if self.engine == "neural-compressor":
            engine.check(self.algorithm, self.scheme)
        elif self.algorithm is not None:
            raise UserError(f"quantize: algorithm {self.algorithm} is one of engine neural-compressor's; set 'engine' too")

    def __call__(self, model: Model, context: Context) -> Model:
        """The quantized network, whose graph computes what the exported integers will.

        Raises UserError for an operator that has no integer form or no kernel in a format that is exported, for an override that
        matches nothing, for a layer in float where `full_integer` forbids it, and without calibration samples.
        """
        held = network.held(model)
        if held is not None:
            return quantizing.quantize(model, held, self, context)
        graph, folded = static.float_graph(model)
        lines = [f"folded {len(folded)} BatchNorm layers"] if folded else []
        if self.scheme == "float16":
            lines.append(f"{halve(graph)} weights to float16")
            return model.then(graph, Step("quantize", asdict(self), tuple(lines)), "quantized")
        if self.scheme in weights_only.SCHEMES:
            return self._store_weights(model, graph, lines, context)
        return self._to_integers(model, graph, lines, context)

    def _store_weights(self, model: Model, graph: fx.GraphModule, lines: list[str], context: Context) -> Model:
        resolved = resolve(graph.graph, self.overrides, self.scheme)
        schemes = {layer: resolved[layer] for layer in weights_only.layers(graph)}
        chosen = [layer.name for layer, scheme in schemes.items() if scheme == self.scheme]
        weights_only.refuse(graph, chosen, self.scheme, context.exports)
        options = weights_only.Options(self.scheme, self.bits, self.block, *self._for_clusters(model, lines))
        finely = granularities(graph.graph, self.overrides, self.weight_granularity)
        integers, said = weights_only.store(graph, chosen, options, finely)
        details = {"layers": {layer_name(layer): scheme for layer, scheme in schemes.items()}}
        lines = [*lines, *summary(schemes), *said]
        return model.quantized(integers, graph, Step("quantize", asdict(self), tuple(lines), details))

    def _to_integers(self, model: Model, graph: fx.GraphModule, lines: list[str], context: Context) -> Model:
        schemes = resolve(graph.graph, self.overrides, self.scheme)
        self._refuse(schemes, context.exports)
        if self.equalize and self.algorithm is None and equalization.suits(model, self.weight_granularity):
            lines += equalization.equalize(model, graph, self.scheme, context)[:1]
        chosen, said = NOTHING, list[str]()
        if self.algorithm is not None:
            chosen, said = engine.decide(graph, schemes, self.algorithm, static.samples(model, context))
        seen = static.calibrate(model, graph, plan(graph.graph, schemes), context)
        calibration = context.data.calibration
        lines += summary(schemes)
        lines.append(f"calibrated on {calibration.samples} samples, ranges by {self.observer}, weights by {self.weight_observer}")
        lines += said
        if (unlike := familiarity.warning(model, calibration)) is not None:
            lines.append(unlike)
        details = {
            "layers": by_layer(schemes),
            "calibration_samples": calibration.samples,
        }
        by_name = {node.name: scheme for node, scheme in schemes.items()}
        finely = granularities(graph.graph, self.overrides, self.weight_granularity)
        weight_observer, rounding = self._for_clusters(model, lines)
        integers = static.to_integers(graph, by_name, seen, self.observer, weight_observer, finely, chosen, rounding)
        return model.quantized(integers, graph, Step("quantize", asdict(self), tuple(lines), details))

    def _for_clusters(self, model: Model, lines: list[str]) -> tuple[WeightObserver, Rounding]:
        """Other scales and balancing would send weights of one value to several integers, so clusters have neither; a line says so."""
        if not clustered_weights(model):
            return self.weight_observer, ROUNDINGS[self.weight_rounding]
        lines.append("weights by minmax, rounded to nearest: that keeps clusters whole")
        return "minmax", ROUNDINGS["nearest"]

    def _refuse(self, schemes: dict[fx.Node, str], exports: Collection[str]) -> None:
        """What can't be had is said before calibration takes its time."""
        without = kernels.refusal(schemes, exports)
        if without is not None:
            raise UserError(f"quantize: {without}")
        real = [layer for layer, scheme in by_layer(schemes).items() if scheme == "float"]
        if real and (self.full_integer or (self.full_integer is None and "c" in exports)):
            why = "" if self.full_integer else ", as 'c' among the exports makes it"
            raise UserError(
                f"quantize: full_integer is true{why}, but overrides leave layers in float: {', '.join(real)}; give them an integer "
                "scheme or set 'full_integer: false'"
            )
