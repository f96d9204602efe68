"""Where networks come from: each file reads one kind of source. The first whose `reads` says yes is used."""

from typing import TYPE_CHECKING, Any

from compress.reading.unreadable import explain
from compress.sources.base import SourceOptions
from targets.errors import UserError
from targets.registry import PluginFolder

if TYPE_CHECKING:
    from compress.model import Model

SOURCES = PluginFolder("compress.sources", "model source")


def find(options: SourceOptions) -> Any:
    """The reader for a source. UserError where the file is missing or nothing here reads it."""
    for name in SOURCES.names():
        reader = SOURCES.load(name)
        if reader.reads(options):
            return reader(options)
    path = options.path
    if ":" not in options.source and not path.exists():
        raise UserError(f"model.source: file {path} does not exist; these are read: {kinds()}")
    if not path.exists():
        raise UserError(f"model.source: {options.source} is no package.module:factory; these are read: {kinds()}")
    raise UserError(f"{path}: {explain(path)}")


def kinds() -> str:
    """Everything that can be a source, in the readers' own words."""
    return ", ".join(SOURCES.load(name).kind for name in SOURCES.names())


def load(options: SourceOptions, example: tuple[Any, ...]) -> "Model":
    """The network of a source, captured with one batch of real inputs as numpy arrays [N, …] float32."""
    import torch

    loaded: Model = find(options)(tuple(torch.from_numpy(array[:1]) for array in example))
    return loaded
