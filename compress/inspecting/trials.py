"""Trying every pass, export and board on a network, with a few samples."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from compress import pipeline
from compress.api import make_context
from compress.data.base import Data
from compress.exporters import EXPORTERS
from compress.inspecting.findings import Ability
from compress.model import Model, Step
from compress.passes import PASSES
from compress.progress import Progress, Silent
from compress.recipe import build
from compress.report import wording
from targets import boards
from targets.base import Artifact
from targets.errors import EdgepressError
from targets.registry import first_line

SAMPLES = 8
MOST_REASONS = 3
QUICK = {"epochs": 1}
"""What makes a pass short, for those that train by default; everything else is tried as it is by default."""

QUANTIZER = "quantize"
"""The pass whose result others, and integer exports, start from."""

FINISHED = "works on networks in floating point, and this one is quantized already; start from the one that it was made of"

Files = list[tuple[str, Artifact]]
"""Exported files and what each was made from: `float` or `int8`."""


def passes(model: Model, data: Data, metric: str, progress: Progress) -> tuple[tuple[Ability, ...], Model | None]:
    """What each pass makes of the network, and the quantized network, where it can be had."""
    given = make_context(model, data, metric=metric)
    known = {name: PASSES.load(name) for name in PASSES.names()}
    tried: dict[str, Ability] = {}
    quantized: Model | None = model if model.stage == "quantized" else None
    with progress.task("trying passes", len(known)) as task:
        for name in sorted(known, key=lambda name: (known[name].takes != "float", name != QUANTIZER)):
            start = model if known[name].takes == model.stage else quantized
            if start is None or start.stage != known[name].takes:
                why = FINISHED if model.stage == "quantized" else f"works on what {QUANTIZER} makes"
                tried[name] = Ability(name, False, known[name].takes, why)
            else:
                tried[name], made = _apply(name, known[name], start, given)
                quantized = made if name == QUANTIZER else quantized
            task.advance(note=name)
    return tuple(tried[name] for name in sorted(tried)), quantized


def _apply(name: str, cls: Any, model: Model, given: Any) -> tuple[Ability, Model | None]:
    quick = {each.name: QUICK[each.name] for each in fields(cls) if each.name in QUICK and each.default}
    try:
        options = build(cls, quick, name)
        made = pipeline.apply_one(name, options, model, given)
    except Exception as error:  # noqa: BLE001  whatever stops a pass is what is asked for here
        return Ability(name, False, cls.takes, _reason(error).removeprefix(f"{name}: ")), None
    return Ability(name, True, cls.takes, _outcome(made.history[-1])), made


def _outcome(step: Step) -> str:
    """What a pass made of the network, as far as that doesn't hang on the samples; and which layers it had to leave, and why."""
    said = [line for line in step.lines if "because" in line][:MOST_REASONS]
    schemes = step.details.get("layers")
    if isinstance(schemes, dict) and "scheme" in step.options:
        said.insert(0, ", ".join(f"{count} layers {scheme}" for scheme, count in Counter(schemes.values()).most_common()))
    if "before" in step.details:
        macs = [f"{step.details[when]['macs']:,}" for when in ("before", "after")]
        said.insert(0, f"MACs {' -> '.join(macs)}")
    return "; ".join(said)


def exports(models: Sequence[tuple[str, Model]], folder: Path, progress: Progress) -> tuple[tuple[Ability, ...], Files]:
    """Writes every format of each network, `float` or `int8`, for real; the files that came of it."""
    tried, made = [], Files()
    with progress.task("trying exports", len(models) * len(EXPORTERS.names())) as task:
        for on, model in models:
            (folder / on).mkdir()
            for name in EXPORTERS.names():
                try:
                    file = pipeline.export(model, name, build(EXPORTERS.load(name), {}, name), folder / on, Silent())
                except Exception as error:  # noqa: BLE001  whatever stops an export is what is asked for here
                    tried.append(Ability(name, False, on, _reason(error)))
                else:
                    made.append((on, file))
                    tried.append(Ability(name, True, on, wording.size(file.bytes)))
                task.advance(note=f"{name} {on}")
    return tuple(tried), made


def targets(files: Files) -> tuple[Ability, ...]:
    """Which of the files each board takes; where it takes none, what stands in the way."""
    return tuple(_board(name, files) for name in boards.names())


def _board(name: str, files: Files) -> Ability:
    target = boards.target(name)
    possible = [(on, file) for on, file in files if file.format in target.formats]
    problems = [(on, file, target.check(file)) for on, file in possible]
    fitting = dict.fromkeys(f"{file.format} {on}".strip() for on, file, found in problems if not found)
    if fitting:
        return Ability(name, True, ", ".join(fitting))
    if not problems:
        return Ability(name, False, "", f"runs {', '.join(target.formats)}, which there is none of")
    on, file, found = next((each for each in problems if each[0] == "int8"), problems[0])
    return Ability(name, False, f"{file.format} {on}".strip(), str(found[0]).removeprefix(f"{file.path}: "))


def _reason(error: Exception) -> str:
    said = " ".join(str(error).split()) if isinstance(error, EdgepressError) else f"fails: {first_line(error)}"
    return re.sub(r"^\S+\.tflite: ", "", said)  # a file on the way to another
