"""What every model source is given and gives."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from compress.reading.inputs import Input
from targets.formats import onnx

if TYPE_CHECKING:
    import torch

    from compress.model import Model


@dataclass(frozen=True)
class SourceOptions:
    """The `model:` part of a recipe.

    `source` is a file or folder, or `package.module:factory` for a function that returns a torch.nn.Module; `weights` a file of
    tensors that belong to it; `custom` says which `package.module:name` stands for a class that a Keras file names; `folder` is
    what paths are relative to and where own modules are looked for. `trust` lets a file that can run code when it is loaded do so.
    """

    source: str
    weights: str | None = None
    name: str | None = None
    labels: tuple[str, ...] | None = None
    trust: bool = False
    custom: dict[str, str] = field(default_factory=dict)
    folder: Path = field(default_factory=Path)

    @property
    def path(self) -> Path:
        """The source as a path."""
        return self.folder / self.source

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file the network is made from, own code and ONNX's external data included; of a folder, all that is in it."""
        named = [self.source, *self.custom.values()]
        modules = [name.partition(":")[0].replace(".", "/") + ".py" if ":" in name else name for name in named]
        places = [folder / module for module in modules for folder in (self.folder, Path.cwd())]
        if self.weights:
            places.append(self.folder / self.weights)
        found = [file for place in dict.fromkeys(places) for file in (sorted(place.rglob("*")) if place.is_dir() else [place])]
        files = [file for file in found if file.is_file()]
        return (*files, *(beside for file in files if onnx.is_onnx(file) for beside in onnx.external_files(file)))

    def fingerprint(self) -> str:
        """A hash of the files the network is made from."""
        digest = hashlib.sha256(f"{self.source} {self.custom}".encode() if self.custom else self.source.encode())
        for path in self.files:
            digest.update(path.read_bytes())
        return digest.hexdigest()


class Source(Protocol):
    """One kind of source, made from the recipe's options."""

    kind: ClassVar[str]
    """What people call it, with its usual ending, for lists of what can be read: `an ONNX file (.onnx)`."""

    @staticmethod
    def reads(options: SourceOptions) -> bool:
        """Whether this is the reader for the source, by its content; by its ending only where the content says nothing."""

    def inputs(self) -> tuple[Input, ...] | None:
        """What the network takes, told by the source alone: no data, and no code of its own run. None where only data can tell.

        UserError where the source is damaged.
        """

    def __call__(self, example: "Sequence[torch.Tensor]") -> "Model":
        """The network. `example` is one real sample for each input, batch size 1. UserError says what is wrong and the cure."""
