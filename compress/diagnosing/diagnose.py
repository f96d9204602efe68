"""Which layers hold the loss of a quantized network, what would win it back, what that costs, and rules for it that were tried out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from compress.context import Context
from compress.diagnosing.files import Files
from compress.diagnosing.findings import Diagnosis, Intervention, Job, LayerFindings
from compress.quantization import noise
from compress.quantization.sensitivity import Choices, Quality, Quantization, Trials, prepare
from compress.quantization.units import Choice
from compress.unlifted import network
from targets.errors import UserError

WORTH = 0.1
"""Share of the network's loss that another scheme of a layer must win back to be advised, and to stay in the advice beside others."""

WORTH_FREE = 0.01
"""The same for a finer granularity of weights, which costs no time and a few bytes."""

OTHERS = ("int16x8", "float")
"""Schemes that every layer is tried with; a file format may refuse the first, or both, beside the layers around."""

INTEGERS_ONLY = "C sources are integer from end to end: what float wins back is for comparison, and the rules do without"

NEARLY_AS_GOOD = 0.6
"""Of a layer's possible schemes the cheapest is advised that wins this share of what the best one wins."""


def diagnose(job: Job) -> Diagnosis:
    """Calibrates once, measures each layer's noise, tries other schemes layer by layer, joins the best, and checks them in LiteRT.

    Raises UserError for a quantization whose layers have no scheme of their own (float16, or another engine's), and for a TFLite file that
    isn't lifted to torch.
    """
    network.refuse(job.model, "diagnose", lambda: "`edgepress compare` tells where two files part")
    trials = prepare(job.model, job.context, _options(job.quantize), job.context.data.evaluation.first(job.samples))
    base = trials.judge({})
    float_metric = trials.samples.judge(trials.samples.reference).metric
    findings = _noise(trials, job.context)
    files = Files(job)
    before, reason = files.attempt(())
    slower = files.slower(*_timed(findings)) if before else {}
    findings, everywhere = _interventions(job, trials, base, findings, slower)
    formats = {"tflite", *job.context.exports}
    for refused in ((), OTHERS[:1], OTHERS):
        choices, predicted = _advice(trials, base, _without(trials, findings, refused, formats), job.context)
        rules = trials.overrides(choices)
        after, failed = files.attempt(rules) if rules and before else (None, reason)
        if failed is None or not before:
            break
    return Diagnosis(
        name=job.model.name,
        choice=Choice(job.quantize.scheme, job.quantize.weight_granularity),
        metric=job.context.metric.name,
        samples=len(trials.samples.labels),
        float_metric=float_metric,
        quality=base,
        layers=tuple(findings),
        advice=rules,
        predicted=predicted,
        everywhere=everywhere,
        before=before,
        after=after,
        reason=failed,
        notes=(*files.notes, *([INTEGERS_ONLY] if "c" in formats else [])),
    )


def _options(quantize: Any) -> Quantization:
    if getattr(quantize, "engine", "edgepress") != "edgepress" or quantize.scheme not in ("int8", "int16x8", "w4a8"):
        raise UserError("diagnose: works on engine edgepress with scheme int8, int16x8 or w4a8; choose these for 'quantize'")
    return Quantization(**{option.name: getattr(quantize, option.name) for option in fields(Quantization)})


def _noise(trials: Trials, context: Context) -> list[LayerFindings]:
    """Every layer with its noise, the worst of its own first."""
    outputs = [unit.output for unit in trials.units.values()]
    with context.progress.task("noise of each layer"):
        found = noise.measure(trials.graph, trials.quantize({}), outputs, trials.samples.batches)
    layers = [LayerFindings(unit, trials.start[name], found[unit.output]) for name, unit in trials.units.items()]
    return sorted(layers, key=lambda layer: layer.noise.own)


def _timed(layers: Sequence[LayerFindings]) -> tuple[dict[str, str], set[str]]:
    """The scheme of each layer, and all those that are tried."""
    return {layer.unit.name: layer.choice.scheme for layer in layers}, {each.scheme for layer in layers for each in _others(layer)}


def _interventions(
    job: Job, trials: Trials, base: Quality, layers: Sequence[LayerFindings], slower: Mapping[tuple[str, str], float]
) -> tuple[list[LayerFindings], tuple[Intervention, ...]]:
    """The layers with what was tried on each, the most rewarding first; and the same tried on all layers at once."""
    tried = list(layers)
    wanted = [(number, choice) for number, layer in enumerate(tried[: job.layers]) for choice in _others(layer)]
    common = [choice for choice in dict.fromkeys(choice for _, choice in wanted) if choice.scheme != "float"]
    everywhere = []
    with job.context.progress.task("trying other choices", len(wanted) + len(common)) as task:
        for number, choice in wanted:
            layer = tried[number]
            trial = _trial(trials, base, {layer.unit.name: choice}, slower)
            interventions = sorted((*layer.interventions, trial), key=lambda each: -each.divergence)
            tried[number] = replace(layer, interventions=tuple(interventions))
            task.advance(note=layer.unit.name)
        for choice in common:
            everywhere.append(_trial(trials, base, dict.fromkeys(trials.units.keys() - trials.fixed, choice), slower))
            task.advance(note="all layers")
    return sorted(tried, key=lambda layer: -layer.won), tuple(everywhere)


def _trial(trials: Trials, base: Quality, choices: Choices, slower: Mapping[tuple[str, str], float]) -> Intervention:
    found = trials.judge(choices)
    agreement = None if base.agreement is None or found.agreement is None else found.agreement - base.agreement
    times = [slower.get((name, choice.scheme)) for name, choice in choices.items()]
    return Intervention(
        choice=next(iter(choices.values())),
        divergence=base.divergence - found.divergence,
        agreement=agreement,
        metric=found.metric - base.metric,
        bytes=trials.bytes(choices) - trials.bytes({}),
        milliseconds=None if None in times else sum(time for time in times if time is not None),
    )


def _others(layer: LayerFindings) -> list[Choice]:
    """The choices that may be better for a layer, the cheapest first."""
    bits = [Choice(scheme, layer.choice.granularity) for scheme in OTHERS]
    weights = [Choice(layer.choice.scheme), Choice("int8", layer.choice.granularity)] if layer.unit.weights else []
    better = [choice for choice in dict.fromkeys([*weights, *bits]) if _expense(choice) >= _expense(layer.choice)]
    return [choice for choice in better if choice != layer.choice and layer.choice.scheme != "float"]


def _advice(trials: Trials, base: Quality, layers: Sequence[LayerFindings], context: Context) -> tuple[Choices, Quality]:
    """Choices that win back most together: one layer after the other, each kept if the whole network gains by it."""
    chosen: dict[str, Choice] = {}
    best = base
    candidates = [layer for layer in layers if layer.won > WORTH_FREE * base.divergence]
    with context.progress.task("joining what helps", len(candidates)) as task:
        for layer in candidates:
            cheapest = sorted(layer.interventions, key=lambda trial: _expense(trial.choice))
            choice = next(trial.choice for trial in cheapest if trial.divergence >= NEARLY_AS_GOOD * layer.won)
            together = trials.judge({**chosen, layer.unit.name: choice})
            worth = WORTH_FREE if choice.scheme == layer.choice.scheme else WORTH
            if best.divergence - together.divergence >= worth * base.divergence:
                chosen[layer.unit.name] = choice
                best = together
            task.advance(note=layer.unit.name)
    return chosen, best


def _without(trials: Trials, layers: Sequence[LayerFindings], refused: Sequence[str], formats: Collection[str]) -> list[LayerFindings]:
    """The layers with those interventions alone that the formats have kernels for, and no scheme that was refused."""

    def allowed(layer: LayerFindings, choice: Choice) -> bool:
        return choice.scheme not in refused and trials.possible(layer.unit.name, choice.scheme, formats)

    kept = [replace(layer, interventions=tuple(each for each in layer.interventions if allowed(layer, each.choice))) for layer in layers]
    return sorted(kept, key=lambda layer: -layer.won)


def _expense(choice: Choice) -> int:
    return ("w4a8", "int8", "int16x8", "float").index(choice.scheme)
