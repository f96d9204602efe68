"""What `edgepress run` does: a run's folder, written whole or not at all."""

from pathlib import Path

import yaml

from compress import store
from compress.pipeline import Outcome, run
from compress.progress import Progress
from compress.pruning import plans
from compress.recipe import Recipe
from compress.report import write
from compress.report.content import Report
from compress.report.rows import report_of
from compress.version import versions
from targets import boards
from targets.errors import EdgepressError, UserError


def run_to_folder(recipe: Recipe, folder: Path, progress: Progress) -> Report:
    """Runs a recipe and writes files, report and lock into a folder, replacing that of an earlier run.

    UserError where the folder holds something else, so that nobody's files are lost.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name another folder with --output")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "recipe.lock.yaml").exists():
        raise UserError(f"{folder}: holds files that are not of an edgepress run; name another folder with --output")
    with store.whole(folder) as part:
        try:
            outcome = run(recipe, part, progress)
        except EdgepressError as error:  # it names a file where it is now, not where it would have been
            raise type(error)(str(error).replace(str(part), str(folder))) from error
        report = report_of(outcome)
        write(report, part)
        (part / "recipe.lock.yaml").write_text(lock(outcome), encoding="utf-8")
        plans.write_all(outcome.compressed.history, part)
    return report


def lock(outcome: Outcome) -> str:
    """The recipe with every default written out, and what else decides the result: hashes of data, model and boards, and versions."""
    recipe = outcome.recipe
    locked = {
        **recipe.written_out(),
        "hashes": {
            "model": recipe.model.fingerprint(),
            "data": outcome.data.fingerprint,
            "artifacts": {row.artifact.path.name: row.artifact.sha256 for row in outcome.rows},
            "boards": {part.board: boards.fingerprint(part.board) for part in recipe.targets},
        },
        "layers": {step.name: step.details["layers"] for step in outcome.compressed.history if "layers" in step.details},
        "versions": versions(),
    }
    return yaml.safe_dump(locked, sort_keys=False, allow_unicode=True)
