"""Who teaches: the network as it came, itself, other networks, or several of these at once."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from compress import sources
from compress.context import Context
from compress.model import Model
from compress.sources.base import SourceOptions
from targets.errors import UserError, did_you_mean

ORIGINAL, ITSELF, NONE = "original", "self", "none"
WORDS = (ORIGINAL, ITSELF, NONE)


@dataclass(frozen=True)
class TeacherSource:
    """Another network: `source`, `weights` and `trust` as `model:` of a recipe has them."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    source: str
    weights: str | None = None
    trust: bool = False

    def options(self, folder: Path) -> SourceOptions:
        """What sources are loaded by; paths are relative to `folder`."""
        return SourceOptions(self.source, self.weights, trust=self.trust, folder=folder)


Named = str | TeacherSource
Teacher = Named | tuple[Named, ...]


def several(teacher: Teacher) -> tuple[Named, ...]:
    """The teachers that an option names."""
    named = teacher if isinstance(teacher, tuple) else (teacher,)
    return () if teacher == NONE else named


def check(teacher: Teacher, folder: Path) -> None:
    """UserError for a teacher that is no known word and no file or function, or for `none` among others."""
    named = several(teacher)
    if not named and teacher != NONE:
        raise UserError("teacher: the list is empty; say 'teacher: none' for none")
    if NONE in named:
        raise UserError("teacher: 'none' stands in a list; leave it out, or say 'teacher: none'")
    for each in named:
        source = source_of(each)
        if source is None:
            continue
        if ":" not in source.source and not (folder / source.source).exists():
            nearest = did_you_mean(source.source, WORDS)
            raise UserError(f"teacher '{source.source}' is no file, no package.module:factory and no known word; {nearest}")
        if source.weights and not (folder / source.weights).is_file():
            raise UserError(f"teacher: file {folder / source.weights} does not exist")


def source_of(teacher: Named) -> TeacherSource | None:
    """Where a teacher comes from; None for those that are at hand."""
    if isinstance(teacher, TeacherSource):
        return teacher
    return None if teacher in WORDS else TeacherSource(teacher)


def fingerprint(teacher: Teacher, folder: Path) -> str:
    """A hash of the files that teachers come from; empty where they come from none."""
    found = [source.options(folder).fingerprint() for each in several(teacher) if (source := source_of(each))]
    return hashlib.sha256(" ".join(found).encode()).hexdigest() if found else ""


def load(teacher: Teacher, folder: Path, model: Model, context: Context) -> tuple[Model, ...]:
    """The teachers' networks; `model` is the one that a pass was given, its own teacher where `self` is named."""
    return tuple(_load(each, folder, model, context) for each in several(teacher))


def _load(teacher: Named, folder: Path, model: Model, context: Context) -> Model:
    source = source_of(teacher)
    if source is None:
        return context.original if teacher == ORIGINAL else model
    with context.progress.task(f"loading the teacher {source.source}"):
        try:
            return sources.load(source.options(folder), tuple(tensor[:1].numpy() for tensor in context.original.example))
        except UserError as error:
            raise UserError(f"teacher: {str(error).removeprefix('model.source: ')}") from error
