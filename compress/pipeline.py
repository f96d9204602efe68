"""One run of a recipe: source, passes, exports, targets, report. Each pass's result is kept, so that a run which was stopped goes on."""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from compress import parity, sources, store
from compress.context import Context
from compress.data.base import Array, Data, Split
from compress.devices import side_by_side
from compress.evaluation import Evaluation, evaluate
from compress.measuring import Scored, Trial, attempt
from compress.metrics import metric
from compress.model import Model
from compress.passes import PASSES
from compress.progress import Progress, Silent
from compress.recipe import Recipe, TargetPart, plain
from compress.sources.base import SourceOptions
from compress.unlifted import network
from compress.version import code_digest, versions
from targets import boards
from targets.base import OUTLIVES_BURSTS, Artifact, RunOptions, Target
from targets.cache import cache_folder
from targets.errors import UserError

HOST = TargetPart("host", None, {})
REHEARSED = 32
"""Samples of each part that a rehearsal has."""


@dataclass(frozen=True)
class Outcome:
    """Everything a run found; the report is made of it."""

    recipe: Recipe
    data: Data
    original: Model
    compressed: Model
    before: Evaluation
    after: Evaluation
    rows: tuple[Scored, ...]
    cached: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """The compressed network's outputs in torch, their integer step where they are quantized, and whether it rounds activations."""

    outputs: Array
    step: float | None
    rounds: bool


def run(recipe: Recipe, folder: Path, progress: Progress) -> Outcome:
    """Runs a recipe and writes its exported files into `folder`, which exists."""
    context = start(recipe, progress)
    original, data = context.original, context.data
    before = evaluate(original, data.evaluation, context.metric, progress)
    compressed, cached = apply(recipe, original, context)
    after = before if compressed is original else evaluate(compressed, data.evaluation, context.metric, progress)
    artifacts = [export(compressed, name, exporter, folder, progress) for name, exporter in recipe.exports]
    rows = _measure_all(recipe, artifacts, context, Reference(after.outputs, parity.output_step(compressed), parity.rounds(compressed)))
    return Outcome(recipe, data, original, compressed, before, after, tuple(rows), cached)


def start(recipe: Recipe, progress: Progress) -> Context:
    """What a recipe's passes start from: its data, and the network as it comes (`original`)."""
    data = recipe.data()
    measured_by = metric(recipe.metric, recipe.folder)
    inputs, _ = next(data.evaluation.batches(1))
    torch.manual_seed(recipe.seed)  # a factory without weights makes the same network every time
    with progress.task(f"loading {recipe.model.source}"):
        original = replace(sources.load(recipe.model, inputs), name=recipe.name)
    if original.labels is None:
        original = replace(original, labels=data.labels)
    return Context(data, original, measured_by, recipe.seed, recipe.device, progress, exports=tuple(name for name, _ in recipe.exports))


def apply(recipe: Recipe, model: Model, context: Context) -> tuple[Model, tuple[str, ...]]:
    """The model after the recipe's passes, and the names of those whose results came from an earlier run.

    Where one is going to train, the whole recipe is rehearsed first, so that what a later pass or export refuses is told before that.
    """
    kept = _kept(recipe, context)
    if any(trains(options) and not _saved(folder) for (_, options), folder in zip(recipe.passes, kept, strict=True)):
        with context.progress.task("rehearsing without training"):
            rehearse(recipe, model, context)
    cached: list[str] = []
    for (name, options), folder in zip(recipe.passes, kept, strict=True):
        if _saved(folder):
            with context.progress.task(f"{name}, kept from an earlier run"):
                model = replace(store.load(folder), name=model.name, labels=model.labels, origin=model.origin or model)
            cached.append(name)
            continue
        checkpoints = folder.with_name(f"{folder.name}-unfinished")
        model = apply_one(name, options, model, replace(context, directory=checkpoints))
        store.save(model, folder)
        store.remove(checkpoints)
    return model, tuple(cached)


def _kept(recipe: Recipe, context: Context) -> list[Path]:
    """Where the result of each pass is kept: by a hash of all that goes into it."""
    measured_by = SourceOptions(recipe.metric, folder=recipe.folder).fingerprint()  # with the code of a function of the user's own
    key = hashlib.sha256(
        f"{recipe.model.fingerprint()}{context.data.fingerprint}{recipe.seed}{measured_by}{versions()}{code_digest()}".encode()
    )
    folders = []
    for name, options in recipe.passes:
        files = options.fingerprint() if hasattr(options, "fingerprint") else ""
        key.update(json.dumps([name, plain(options), files], sort_keys=True, default=str).encode())
        folders.append(cache_folder("passes") / key.hexdigest())
    return folders


def _saved(folder: Path) -> bool:
    return (folder / "model.json").exists()


def trains(options: Any) -> bool:
    """Whether a pass of these options trains: it has `epochs` then, and more than none."""
    return bool(getattr(options, "epochs", 0))


def rehearsal(context: Context, draw: int = 0) -> Context:
    """The context without training and with few samples; another `draw` has others, and another seed."""

    def few(split: Split) -> Split:
        count = min(REHEARSED, split.samples)
        first = min(draw * count, split.samples - count)
        return Split(count, lambda numbers: split.load(numbers + first))

    data = context.data
    data = replace(data, training=few(data.training), calibration=few(data.calibration), evaluation=few(data.evaluation))
    return replace(context, data=data, seed=context.seed + draw, progress=Silent(), rehearsal=True)


def rehearse(recipe: Recipe, model: Model, context: Context) -> None:
    """Runs passes and exports as a rehearsal. UserError and ExportError as the run itself would raise them."""
    context = rehearsal(context)
    for name, options in recipe.passes:
        model = apply_one(name, options, model, context)
    with tempfile.TemporaryDirectory(prefix="edgepress-") as scratch:
        for name, exporter in recipe.exports:
            try:
                export(model, name, exporter, Path(scratch), Silent())
            except UserError as error:  # it names a file that isn't there any more
                raise type(error)(str(error).replace(f"{scratch}/", "")) from error


def apply_one(name: str, options: Any, model: Model, context: Context) -> Model:
    """One pass, after a check that it can work on the model: on what it is made of, and at its stage."""
    if not getattr(options, "takes_unlifted", False):
        network.refuse(model, name, _cure_of_unlifted)
    if options.takes != model.stage:
        cure = f"put {name} before quantize" if model.stage == "quantized" else f"put quantize before {name}"
        if model.stage == "quantized" and not model.history:
            cure = "its file had integers already: leave 'passes' empty to export and measure it, or start from the network it was made of"
        raise UserError(f"{name} works on a {options.takes} network, but this one is {model.stage}; {cure}")
    result: Model = options(model, context)
    return result


def _cure_of_unlifted() -> str:
    able = [name for name in PASSES.names() if getattr(PASSES.load(name), "takes_unlifted", False)]
    return f"passes that work on it: {', '.join(able)}; for others start from the network that it was made of"


def export(model: Model, name: str, exporter: Any, folder: Path, progress: Progress) -> Artifact:
    """Writes one format into the folder."""
    with progress.task(f"exporting {name}"):
        artifact: Artifact = exporter(model, folder)
    return artifact


def _measure_all(recipe: Recipe, artifacts: Sequence[Artifact], context: Context, reference: Reference) -> list[Scored]:
    """A row for each target and file. Every file runs on this machine too, first of all, so that a wrong export stops the run.

    Then each device works beside the others, while what is emulated is emulated here.
    """
    rows: dict[int, list[Scored]] = {}

    def measure_on(numbers: Sequence[int]) -> None:
        for number in numbers:
            part = recipe.targets[number]
            target = boards.target(part.board)
            options = run_options(recipe, part)
            rows[number] = [_measured(artifact, target, context, options, reference) for artifact in target.choose(artifacts)]

    host = [number for number, part in enumerate(recipe.targets) if part.board == HOST.board]
    measure_on(host)
    _verify(artifacts, [row for number in host for row in rows[number]], context, reference)
    others: dict[str | None, list[int]] = {None: []}
    for number, part in enumerate(recipe.targets):
        if part.board != HOST.board:
            others.setdefault(part.device, []).append(number)
    side_by_side([partial(measure_on, numbers) for numbers in others.values()])
    return [row for number in sorted(rows) for row in rows[number]]


def _verify(artifacts: Sequence[Artifact], done: Sequence[Scored], context: Context, reference: Reference) -> None:
    """Runs on this machine the files that have no row there, for their outputs alone."""
    target = boards.target(HOST.board)
    for artifact in artifacts:
        if all(row.artifact.path != artifact.path for row in done):
            _measured(artifact, target, context, RunOptions(warmup=0, repetitions=1, layers=False, energy=False), reference)


def _measured(artifact: Artifact, target: Target, context: Context, options: RunOptions, reference: Reference) -> Scored:
    """One row. A device that goes away loses its own row only; a file that is wrong on this machine is an error."""
    trial = Trial(context.data.evaluation, context.metric, options, reference.outputs, reference.step, context.progress)
    row = attempt(artifact, target, trial)
    if row.port is not None and target.board.target == "host":
        parity.check(row.port, artifact.path.name, reference.rounds)
    return row


def run_options(recipe: Recipe, part: TargetPart) -> RunOptions:
    """How a recipe measures on one of its targets."""
    wanted = recipe.measure
    samples = None if part.board == "host" else wanted.samples
    options = RunOptions(wanted.warmup, wanted.repetitions, wanted.threads, samples, part.device, part.settings)
    return replace(options, precision=wanted.precision, min_seconds=OUTLIVES_BURSTS)
