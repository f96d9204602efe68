"""Plugins by folder listing: the file's name is the plugin's name. The only place in the tree that imports by name."""

import importlib
import importlib.machinery
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets.errors import UserError, did_you_mean

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class PluginFolder:
    """A package in which every module but `base` is a plugin, with one class named in CamelCase after its file.

    Where `member` is set, a plugin is what has that name in its file, whatever the file's own.

    >>> PluginFolder("compress.exporters", "exporter").names()
    ('c', 'onnx', 'tflite')
    """

    package: str
    word: str
    member: str | None = None

    def names(self) -> tuple[str, ...]:
        """Every plugin's name, sorted; imports none of them."""
        folder = ROOT.joinpath(*self.package.split("."))
        return tuple(sorted(module.name for module in pkgutil.iter_modules([str(folder)]) if module.name != "base"))

    def load(self, name: str) -> Any:
        """The plugin's class: `prune_channels` is `PruneChannels` in `prune_channels.py`. UserError for an unknown name."""
        if name not in self.names():
            raise UserError(f"no {self.word} is called '{name}'; {did_you_mean(name, self.names())}")
        if self.member:
            return getattr(importlib.import_module(f"{self.package}.{name}"), self.member)
        return load_class(self.package, name)


def load_class(package: str, name: str) -> Any:
    """Class `CamelCase(name)` of module `package.name`."""
    return getattr(importlib.import_module(f"{package}.{name}"), class_name(name))


def class_name(name: str) -> str:
    """CamelCase of a file's name.

    >>> class_name("prune_channels")
    'PruneChannels'
    """
    return "".join(part.capitalize() for part in name.split("_"))


@contextmanager
def own_code(folder: Path | None = None) -> Iterator[list[str]]:
    """While it runs, modules are looked for in `folder` and the current folder first; gives the two as text."""
    kept = list(sys.path)
    places = list(dict.fromkeys(str(place.resolve()) for place in (folder or Path(), Path())))
    sys.path[:0] = places
    importlib.invalidate_caches()
    try:
        yield places
    finally:
        sys.path[:] = kept


def load_named(reference: str, folder: Path | None = None) -> Any:
    """What `package.module:name` names in the user's own code: in `folder`, the current folder or an installed package.

    Runs the module's code, so call it only with what the user named. UserError with the cure for a malformed reference, an
    unknown module or name, a module hidden by a loaded one, and code that fails when it is imported.
    """
    module_name, colon, name = reference.partition(":")
    if not (colon and name.isidentifier() and all(part.isidentifier() for part in module_name.split("."))):
        raise UserError(f"'{reference}': own code is named as package.module:name")
    with own_code(folder) as places:
        _refuse_hidden(module_name.partition(".")[0], places)
        module = _import_own(module_name, reference, places)
    if not hasattr(module, name):
        public = [word for word in vars(module) if not word.startswith("_")]
        raise UserError(f"'{reference}': module '{module_name}' has no '{name}'; {did_you_mean(name, public)}")
    return getattr(module, name)


def _refuse_hidden(package: str, places: list[str]) -> None:
    loaded = sys.modules.get(package)
    found = importlib.machinery.PathFinder.find_spec(package, places)
    if loaded and loaded.__spec__ and found and found.origin != loaded.__spec__.origin:
        raise UserError(f"{found.origin}: a module called '{package}' is already loaded from {loaded.__spec__.origin}; rename yours")


def _import_own(module_name: str, reference: str, places: list[str]) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(f"'{reference}': no module '{error.name}' in {' or '.join(places)}, and none is installed") from None
        raise UserError(f"'{reference}': its code imports '{error.name}', which is not installed") from error
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise UserError(f"'{reference}': importing '{module_name}' failed: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """An exception's type and the first line of its message, for a one-line report of what other people's code raised.

    >>> first_line(ValueError("wrong shape\\nsee above"))
    'ValueError: wrong shape'
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__
