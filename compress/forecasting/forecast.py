"""From a recipe to its forecast: the passes without their training, the files for real, and each on its targets."""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compress import cost, pipeline
from compress.context import Context
from compress.forecasting import advice
from compress.forecasting.anatomy import Anatomy
from compress.forecasting.files import Files
from compress.forecasting.findings import Forecast, Version
from compress.model import Model
from compress.progress import Progress, Task
from compress.recipe import Recipe
from compress.report.budgets import verdicts
from targets.errors import UserError

Passes = tuple[tuple[str, Any], ...]
ACCURACY = "accuracy_drop"
"""The budget that only training can tell about."""


def forecast(recipe: Recipe, progress: Progress) -> Forecast:
    """What the recipe will give, without training: see `Forecast`. UserError where a pass refuses the network, as the run would raise it.

    Passes run on few samples. What trains leaves the weights nearly as they are, so structure, size and speed are those of the result, and
    nothing is said of accuracy.
    """
    started = time.perf_counter()
    context = pipeline.start(recipe, progress)
    with progress.task(f"forecasting {recipe.name}") as task, tempfile.TemporaryDirectory(prefix="edgepress-") as scratch:
        files = Files(recipe, Path(scratch), context.data.evaluation.first(1))
        found = _Forecaster(recipe, context, files, task).forecast()
    return replace(found, seconds=time.perf_counter() - started)


@dataclass(frozen=True)
class _Forecaster:
    recipe: Recipe
    context: Context
    files: Files
    task: Task

    def forecast(self) -> Forecast:
        passes, original = self.recipe.passes, self.context.original
        floats = tuple(entry for entry in passes if entry[1].takes == entry[1].gives == "float")
        last = passes[len(floats) :]
        whole = self._applied(passes, original)  # first of all, since it may be refused
        steps, warnings = self._steps(floats)
        versions = [self._version((), "", original, whole=not passes)]
        if last and steps:
            versions += self._shortened((), last[0][0], original, last)
        for number, model in steps[:-1]:
            versions += self._shortened(floats[: number + 1], floats[number][0], model, last)
        if passes:
            step = floats[steps[-1][0]][0] if steps else last[0][0] if last else ""
            versions.append(self._version(passes, step, whole, whole=True))
        return Forecast(
            name=self.recipe.name,
            versions=tuple(versions),
            untrained=tuple(name for name, options in passes if pipeline.trains(options)),
            other_macs=self._other_macs(versions[-1]),
            warnings=(*warnings, *advice.advice(versions)),
            verdicts=tuple(verdicts(_without_accuracy(self.recipe.budgets), versions[-1].rows, None)),
            seconds=0.0,
        )

    def _steps(self, floats: Passes) -> tuple[list[tuple[int, Model]], list[str]]:
        """The float passes that change what files can save on, by their numbers, with the network after each; and what is undone."""
        steps, warnings = [], []
        model = self.context.original
        before = Anatomy.of(model)
        for number, (name, _) in enumerate(floats):
            model = self._applied(floats[number : number + 1], model)
            now = Anatomy.of(model)
            if now.changed(before):
                steps.append((number, model))
            if (lost := now.lost(before)) is not None:
                warnings.append(f"{name} undoes an earlier pass: {lost}; put it before that one")
            before = now
        return steps, warnings

    def _shortened(self, floats: Passes, step: str, model: Model, last: Passes) -> list[Version]:
        """The version of a recipe with these float passes, and the one that quantizes if there is one."""
        try:
            whole = self._applied(last[:1], model)
        except UserError:
            return []  # it may have rules for layers that only the whole recipe makes
        return [self._version((*floats, *last[:1]), step, whole, whole=False)]

    def _applied(self, passes: Passes, model: Model, draw: int = 0) -> Model:
        context = pipeline.rehearsal(self.context, draw)
        for name, options in passes:
            self.task.advance(note=name)
            model = pipeline.apply_one(name, options, model, context)
        return model

    def _version(self, passes: Passes, step: str, model: Model, *, whole: bool) -> Version:
        names = tuple(name for name, _ in passes)
        self.task.advance(note=f"files of {', '.join(names) or 'the network as it came'}")
        rows, blocked = self.files.rows(model, every=whole)
        return Version(names, step, cost.macs(model), cost.parameters(model), rows, blocked)

    def _other_macs(self, version: Version) -> int | None:
        """The MACs with other samples and weights, where they are others."""
        macs = cost.macs(self._applied(self.recipe.passes, self.context.original, draw=1))
        return None if macs == version.macs else macs


def _without_accuracy(budgets: dict[str, Any]) -> dict[str, Any]:
    return {
        key: {name: limit for name, limit in value.items() if name != ACCURACY} if isinstance(value, dict) else value
        for key, value in budgets.items()
        if key != ACCURACY
    }
