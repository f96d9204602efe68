"""The whole job from Python. Everything here raises `targets.errors.EdgepressError`, whose message is one line with the cure."""

from pathlib import Path
from typing import Any

import torch

from compress import measuring, pipeline, sources
from compress.context import Context
from compress.data import DATA
from compress.data.base import Data
from compress.evaluation import evaluate as evaluate_split
from compress.exporters import EXPORTERS
from compress.metrics import metric as named_metric
from compress.model import Model, capture
from compress.passes import PASSES
from compress.progress import Progress, Silent
from compress.recipe import build
from compress.recipe import load as load_recipe
from compress.sources.base import SourceOptions
from targets import boards
from targets.base import Artifact, RunOptions


def load_data(kind: str, **options: Any) -> Data:
    """Data by the name of its kind (`npz`, `images`, `factory`) with its options, or `digits`."""
    if kind in DATA.names():
        loaded: Data = build(DATA.load(kind), options, f"data {kind}")()
        return loaded
    return load_data("builtin", name=kind, **options)


def load(source: str | Path | torch.nn.Module, data: Data, weights: str | Path | None = None) -> Model:
    """A network from a file, from `package.module:factory` with weights, or a torch module, captured with one sample of the data."""
    inputs, _ = next(data.evaluation.batches(1))
    if isinstance(source, torch.nn.Module):
        return capture(source, tuple(torch.from_numpy(array) for array in inputs), type(source).__name__.lower())
    return sources.load(SourceOptions(str(source), None if weights is None else str(weights)), inputs)


def make_context(model: Model, data: Data, *, metric: str = "accuracy", seed: int = 0, progress: Progress | None = None) -> Context:
    """What passes are given when they are called one by one; the original is the network as it came, before any pass."""
    return Context(data, model.origin or model, named_metric(metric), seed, "auto", progress or Silent())


def apply(model: Model, data: Data, *passes: str | dict[str, dict[str, Any]], seed: int = 0, progress: Progress | None = None) -> Model:
    """The model after passes, each a name or `{name: options}` as in a recipe."""
    given = make_context(model, data, seed=seed, progress=progress)
    for entry in passes:
        name, options = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
        model = pipeline.apply_one(name, build(PASSES.load(name), options, name), model, given)
    return model


def evaluate(model: Model, data: Data, metric: str = "accuracy") -> float:
    """The metric of a model in torch over the evaluation part."""
    return evaluate_split(model, data.evaluation, named_metric(metric)).metric


def export(model: Model, name: str, folder: str | Path, **options: Any) -> Artifact:
    """Writes one format into a folder, which is made if missing."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    return pipeline.export(model, name, build(EXPORTERS.load(name), options, name), Path(folder), Silent())


def profile(
    artifact: Artifact, target: str, data: Data, *, metric: str = "accuracy", options: RunOptions | None = None
) -> measuring.Scored:
    """Runs an exported file on a board (by name or YAML file) over the evaluation part."""
    trial = measuring.Trial(data.evaluation, named_metric(metric), options or RunOptions())
    return measuring.measure(artifact, boards.target(target), trial)


def run(recipe: str | Path, folder: str | Path, progress: Progress | None = None) -> pipeline.Outcome:
    """Runs a recipe file; its exported files are written into `folder`."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    return pipeline.run(load_recipe(Path(recipe)), Path(folder), progress or Silent())
