"""What every model source is given and gives."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from compress.model import Model


@dataclass(frozen=True)
class SourceOptions:
    """The `model:` part of a recipe.

    `source` is a file, or `package.module:factory` for a function that returns a torch.nn.Module; `weights` a `.safetensors` file, or
    a `.pt` file of tensors; `folder` is what paths are relative to and where own modules are looked for. `trust` lets a file
    that can run code when it is loaded do so.
    """

    source: str
    weights: str | None = None
    name: str | None = None
    labels: tuple[str, ...] | None = None
    trust: bool = False
    folder: Path = field(default_factory=Path)

    @property
    def path(self) -> Path:
        """The source as a path."""
        return self.folder / self.source

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file the network is made from, own code included where it can be found."""
        module = self.source.partition(":")[0].replace(".", "/") + ".py" if ":" in self.source else self.source
        named = [self.folder / module, Path.cwd() / module]
        if self.weights:
            named.append(self.folder / self.weights)
        return tuple(path for path in dict.fromkeys(named) if path.is_file())

    def fingerprint(self) -> str:
        """A hash of the files the network is made from."""
        digest = hashlib.sha256(self.source.encode())
        for path in self.files:
            digest.update(path.read_bytes())
        return digest.hexdigest()


class Source(Protocol):
    """One kind of source, made from the recipe's options."""

    @staticmethod
    def reads(options: SourceOptions) -> bool:
        """Whether this is the reader for the source, by its content."""

    def __call__(self, example: "Sequence[torch.Tensor]") -> "Model":
        """The network. `example` is one real sample for each input, batch size 1. UserError says what is wrong and the cure."""
