"""Plugins by folder listing: the file's name is the plugin's name. The only place in the tree that imports by name."""

import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets.errors import UserError, did_you_mean

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class PluginFolder:
    """A package in which every module but `base` is a plugin, with one class named in CamelCase after its file.

    >>> PluginFolder("compress.exporters", "exporter").names()
    ('c', 'onnx', 'tflite')
    """

    package: str
    word: str

    def names(self) -> tuple[str, ...]:
        """Every plugin's name, sorted; imports none of them."""
        folder = ROOT.joinpath(*self.package.split("."))
        return tuple(sorted(module.name for module in pkgutil.iter_modules([str(folder)]) if module.name != "base"))

    def load(self, name: str) -> Any:
        """The plugin's class: `prune_channels` is `PruneChannels` in `prune_channels.py`. UserError for an unknown name."""
        if name not in self.names():
            raise UserError(f"no {self.word} is called '{name}'; {did_you_mean(name, self.names())}")
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
