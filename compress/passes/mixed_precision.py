"""Chooses a scheme for each layer under a budget, by what each costs the network's answers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, get_args

from compress.context import Context
from compress.model import Model, Stage, Step, layer_name
from compress.quantization import mixing, ranges, timing
from compress.quantization.allocation import Table
from compress.quantization.mixing import Budget, Mixture
from compress.quantization.overrides import Override, resolve
from compress.quantization.parameters import WeightObserver
from compress.quantization.rounding import ROUNDINGS, WeightRounding
from compress.quantization.schemes import LayerScheme
from compress.quantization.sensitivity import Quantization, Trials, prepare
from compress.quantization.units import Choice
from targets.errors import ExportError, UserError, did_you_mean

Schemes = Mapping[str, Sequence[str]]
"""Those that each layer may have."""

AGREEMENT = 0.99
"""What is asked for without a budget."""

BUDGETS = ("size_kb", "latency_ms", "agreement", "accuracy_drop")


@dataclass(frozen=True)
class MixedPrecision:
    """Quantizes without training, each layer in one of `schemes`: those that lose least under one budget.

    `size_kb` limits weights, biases and scales (KB are 1,024 bytes), `latency_ms` one inference on the board `target`; `agreement` (0
    to 1) asks for the smallest network whose top-1 is the float network's on that share of the calibration samples, `accuracy_drop`
    for the smallest that loses no more of the metric there. Without any of them the agreement is 0.99. A layer's
    sensitivity is the divergence of the network's answers with this layer alone quantized, on the first `samples` calibration samples;
    labels are needed for `accuracy_drop` only. Channels are evened out first, as `quantize` does it. What is chosen is judged as a
    whole. Layers that `overrides` leave in float stay there.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}
    takes: ClassVar[Stage] = "float"
    gives: ClassVar[Stage] = "quantized"

    schemes: tuple[LayerScheme, ...] = ("w4a8", "int8", "int16x8", "float")
    size_kb: float | None = None
    latency_ms: float | None = None
    agreement: float | None = None
    accuracy_drop: float | None = None
    target: str = "host"
    samples: int = 200
    observer: str = "mse"
    weight_observer: WeightObserver = "mse"
    weight_rounding: WeightRounding = "balanced"
    equalize: bool = True
    overrides: tuple[Override, ...] = ()

    def __post_init__(self) -> None:
        words = {"weight_observer": get_args(WeightObserver), "weight_rounding": ROUNDINGS, "observer": ranges.OBSERVERS}
        for name, possible in words.items():
            if getattr(self, name) not in possible:
                raise UserError(f"{name} '{getattr(self, name)}' is not known; {did_you_mean(getattr(self, name), possible)}")
        for scheme in self.schemes:
            if scheme not in get_args(LayerScheme):
                raise UserError(f"schemes: no scheme is called '{scheme}'; {did_you_mean(scheme, get_args(LayerScheme))}")
        given = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(given) > 1:
            raise UserError(f"one budget at a time, not {' and '.join(given)}; leave the others to the recipe's 'budgets'")
        if not self.schemes or self.samples < 1:
            raise UserError("schemes: name at least one; samples: at least 1")
        if any(getattr(self, name) < 0 for name in given) or not 0 <= (self.agreement or 0) <= 1:
            raise UserError(f"{given[0]}: {getattr(self, given[0])} is no limit; agreement goes from 0 to 1, the others from 0 up")

    def __call__(self, model: Model, context: Context) -> Model:
        """The network with its layers' schemes. UserError where the budget can't be kept, with what comes nearest."""
        options = Quantization(
            "int8",
            self.observer,
            self.weight_observer,
            weight_rounding=self.weight_rounding,
            equalize=self.equalize,
            overrides=self.overrides,
        )
        trials = prepare(model, context, options, context.data.calibration.first(self.samples), context.exports)
        schemes = mixing.possible(trials, self.schemes, context.exports)
        budget, lines = self._budget(model, context, trials, schemes)
        found = mixing.losses(trials, budget.costs, context.progress)
        mixture = mixing.mix(trials, found, budget, context.progress)
        choices = {name: Choice(scheme) for name, scheme in mixture.schemes.items()}
        layers = resolve(trials.graph.graph, (*trials.options.overrides, *trials.overrides(choices)), "int8")
        details = {
            "layers": {layer_name(node): scheme for node, scheme in layers.items()},
            "calibration_samples": context.data.calibration.samples,
        }
        lines += _lines(trials, mixture, budget)
        return model.quantized(trials.quantize(choices), trials.graph, Step("mixed_precision", asdict(self), tuple(lines), details))

    def _budget(self, model: Model, context: Context, trials: Trials, schemes: Schemes) -> tuple[Budget, list[str]]:
        if self.latency_ms is not None:
            times, lines = _times(model, context, trials, schemes, self.target)
            return Budget(f"latency_ms {self.latency_ms:g} on {self.target}", times, times, self.latency_ms), lines
        costs = mixing.byte_costs(trials, schemes, timing.mac_shares(model))
        if self.size_kb is not None:
            spent = {name: {scheme: trials.units[name].bytes(Choice(scheme)) / 1024 for scheme in row} for name, row in costs.items()}
            return Budget(f"size_kb {self.size_kb:g}", costs, spent, self.size_kb), []
        if self.accuracy_drop is not None:
            least = trials.samples.judge(trials.samples.reference).metric - self.accuracy_drop
            return Budget(f"accuracy_drop {self.accuracy_drop:g}", costs, keeps=lambda quality: quality.metric >= least - 1e-9), []
        wanted = AGREEMENT if self.agreement is None else self.agreement
        if trials.samples.reference.flatten(1).shape[1] == 1:
            raise UserError("mixed_precision: agreement: the network gives one number for a sample; use accuracy_drop or size_kb")
        return Budget(f"agreement {wanted:g}", costs, keeps=lambda quality: (quality.agreement or 0.0) >= wanted - 1e-9), []


def _times(model: Model, context: Context, trials: Trials, schemes: Schemes, board: str) -> tuple[Table, list[str]]:
    """Milliseconds of each layer in each scheme, of networks with one scheme for all."""
    times: dict[str, dict[str, float]] = {name: {} for name in trials.units}
    lines = []
    for scheme in dict.fromkeys(scheme for row in schemes.values() for scheme in row):
        try:
            with context.progress.task(f"measuring {scheme} on {board}"):
                made = _uniform(model, trials, schemes, scheme)
                found = timing.measure_layers(made, board, context.data.calibration, context.metric, list(trials.units))
        except ExportError as error:
            lines.append(f"{scheme} left out: {error}")
            continue
        lines.append(f"{scheme} everywhere: {found.whole:.3g} ms on {board}, layers {found.source}")
        offered = [name for name in trials.units if scheme in schemes[name]]
        for name in offered:
            times[name][scheme] = found.layers.get(name, 0.0)
        silent = [name for name in offered if name not in found.layers]
        if silent:
            lines.append(f"{scheme}: no operator of their own on {board}, counted as no time: {', '.join(silent)}")
    if not all(times.values()):
        raise UserError(f"mixed_precision: latency_ms: no time on {board} to go by: {'; '.join(lines)}")
    return times, lines


def _uniform(model: Model, trials: Trials, schemes: Schemes, scheme: str) -> Model:
    if scheme == "float":
        return model
    graph = trials.quantize({name: Choice(scheme) for name in trials.units if scheme in schemes[name]})
    return model.quantized(graph, trials.graph, Step("mixed_precision", {}))


def _lines(trials: Trials, mixture: Mixture, budget: Budget) -> list[str]:
    """What came of it, and a line a layer."""
    counts = Counter(mixture.schemes.values())
    quality = mixture.quality
    size = trials.bytes({name: Choice(scheme) for name, scheme in mixture.schemes.items()}) / 1024
    agreement = "" if quality.agreement is None else f", agreement {quality.agreement:.1%}"
    judged = (
        f"divergence {quality.divergence:.3g}{agreement}, metric {quality.metric:.4g} on {len(trials.samples.labels)} calibration samples"
    )
    lines = [
        f"{budget.name}: {', '.join(f'{count} layers {scheme}' for scheme, count in counts.items())}",
        f"{size:.1f} KB of weights, biases and scales; as a whole {judged}",
    ]
    for name, scheme in mixture.schemes.items():
        alone = ", ".join(f"{other} {loss:.2g}" for other, loss in mixture.losses[name].items() if other != "float")
        lines.append(f"{name}: {scheme}" + (f" (divergence alone: {alone})" if alone else ""))
    return lines
