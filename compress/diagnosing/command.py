"""What `edgepress diagnose` does between its options and its findings."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from compress import pipeline, recipe, sources
from compress.context import Context
from compress.diagnosing.diagnose import diagnose
from compress.diagnosing.findings import Diagnosis, Job
from compress.metrics import metric as named_metric
from compress.passes import PASSES
from compress.profile_command import open_data
from compress.progress import Progress
from compress.sources.base import SourceOptions
from targets.errors import UserError


@dataclass(frozen=True)
class Wishes:
    """The command's options: `data` and `metric` for a file without a recipe, `quantize` what that pass is given (None: its own)."""

    data: str | None = None
    metric: str | None = None
    samples: int = 200
    layers: int = 32
    quantize: dict[str, Any] = field(default_factory=dict)


def diagnose_file(file: Path, wishes: Wishes, progress: Progress) -> Diagnosis:
    """The findings about a recipe (`.yaml`) or a network (`.pt2`). UserError for what is wrong with the file, the data or an option."""
    changed = {key: value for key, value in wishes.quantize.items() if value is not None}
    if file.suffix.lower() in (".yaml", ".yml"):
        if wishes.data is not None or wishes.metric is not None:
            raise UserError(f"{file}: a recipe says its data and metric itself; leave --data and --metric out")
        return diagnose(_of_recipe(file, wishes, changed, progress))
    if wishes.data is None:
        raise UserError(f"{file}: --data is missing: digits, an .npz file or package.module:function to quantize and judge it with")
    data = open_data(wishes.data)
    options = recipe.build(PASSES.load("quantize"), changed, "quantize")
    inputs, _ = next(data.evaluation.batches(1))
    with progress.task(f"loading {file}"):
        model = replace(sources.load(SourceOptions(str(file)), inputs), name=file.stem)
    context = Context(data, model, named_metric(wishes.metric or "accuracy", Path.cwd()), progress=progress)
    return diagnose(Job(model, context, options, (), wishes.samples, wishes.layers))


def _of_recipe(file: Path, wishes: Wishes, changed: dict[str, Any], progress: Progress) -> Job:
    """The job of a recipe: the passes before `quantize` are applied, or taken from an earlier run."""
    checked = recipe.load(file)
    names = [name for name, _ in checked.passes]
    if "quantize" not in names:
        raise UserError(f"{file}: passes: 'quantize' is not among them, and it is what diagnose looks into; add it")
    place = names.index("quantize")
    context = pipeline.start(checked, progress)
    model, _ = pipeline.apply(replace(checked, passes=checked.passes[:place]), context.original, context)
    options = replace(checked.passes[place][1], **changed)
    return Job(model, context, options, checked.passes[place + 1 :], wishes.samples, wishes.layers)
