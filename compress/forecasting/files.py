"""The files of a version of the network, written and measured for real."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compress import pipeline
from compress.data.base import Split
from compress.measuring import Scored, Trial, measure
from compress.model import Model
from compress.progress import Silent
from compress.recipe import Recipe, TargetPart
from compress.report.content import Row
from compress.report.rows import row_of
from targets import boards
from targets.base import Artifact, Measurement, Target
from targets.errors import EdgepressError, UserError


@dataclass(frozen=True)
class Files:
    """Writes a recipe's formats into `folder` and measures them on its targets, with the one sample of `split`."""

    recipe: Recipe
    folder: Path
    split: Split

    def rows(self, model: Model, *, every: bool) -> tuple[tuple[Row, ...], tuple[str, ...]]:
        """A row for each target and file, and what stands in the way. Without `every`, each target has the format it likes best alone."""
        targets = [(part, boards.target(part.board)) for part in self.recipe.targets]
        formats = {name for name, _ in self.recipe.exports} if every else {self._preferred(target) for _, target in targets}
        artifacts: list[Artifact] = []
        refused: dict[str, str] = {}
        for name, exporter in self.recipe.exports:
            if name in formats:
                try:
                    artifacts.append(pipeline.export(model, name, exporter, self.folder, Silent()))
                except UserError as error:
                    refused[name] = f"export {name}: {_said(error)}"
        rows, blocked = [], list(refused.values())
        for part, target in targets:
            chosen = target.choose(artifacts)
            if not chosen:
                why = next((reason for name, reason in refused.items() if name in target.formats), None)
                rows.append(_missing(target, why or f"runs {' and '.join(target.formats)}, none of which is among the exports"))
            for artifact in chosen:
                row, problem = self._row(artifact, part, target)
                rows.append(row)
                blocked += [problem] if problem else []
        return tuple(rows), tuple(dict.fromkeys(blocked))

    def _preferred(self, target: Target) -> str | None:
        exported = [name for name, _ in self.recipe.exports]
        return next((name for name in target.formats if name in exported), None)

    def _row(self, artifact: Artifact, part: TargetPart, target: Target) -> tuple[Row, str | None]:
        """The row of a file, and why it doesn't work on the target where it doesn't."""
        options = replace(pipeline.run_options(self.recipe, part), samples=1, layers=False)
        problem = None
        try:
            scored = measure(artifact, target, Trial(self.split, None, options))
            if target.check(artifact):
                problem = _said(scored.measurement.reason)
        except UserError as error:
            problem = _said(error)
            scored = Scored(artifact, target.board.name, Measurement.missing(problem))
        except EdgepressError as error:  # a device that isn't there, an emulated core that differs
            scored = Scored(artifact, target.board.name, Measurement.missing(_said(error)))
        row = row_of(scored)
        return replace(row, reason=_said(row.reason) if row.reason else None), problem


def _said(text: object) -> str:
    """Scratch files are named without their folders, which go away."""
    return re.sub(rf"{re.escape(tempfile.gettempdir())}/\S*/", "", str(text))


def _missing(target: Target, reason: str) -> Row:
    return Row(artifact="", format="", target=target.board.name, source="not measured", reason=reason)


def same(row: Row, rows: Sequence[Row]) -> Row | None:
    """The row of another version on the same target and of the same format."""
    return next((each for each in rows if (each.target, each.format) == (row.target, row.format)), None)
