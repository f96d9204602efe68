"""A network as a folder of C, as the TFLite-to-C compiler writes it: what building and profiling need to know of it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from targets.base import Artifact, Tensor


@dataclass(frozen=True)
class LayerCode:
    """One layer: the C function that runs it (None where nothing has to run), and what the compiler knows of its cost.

    `ram_bytes` are alive in the arena while it runs, `flash_bytes` are its constants.
    """

    function: str | None
    name: str
    operator: str
    macs: int | None
    ram_bytes: int | None
    flash_bytes: int | None


@dataclass(frozen=True)
class Sources:
    """The folder's files, the prefix `name` of its symbols, its buffers' sizes, and its layers in the order in which they run."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    headers: tuple[Path, ...]
    arena_bytes: int
    input_bytes: tuple[int, ...]
    output_bytes: tuple[int, ...]
    layers: tuple[LayerCode, ...]

    @classmethod
    def of(cls, artifact: Artifact) -> "Sources":
        """What an artifact of format `c` holds."""
        details = artifact.details
        return cls(
            name=details["name"],
            folder=artifact.path,
            files=tuple(artifact.path / file for file in details["sources"]),
            headers=tuple(artifact.path / file for file in details["headers"]),
            arena_bytes=details["arena_bytes"],
            input_bytes=tuple(map(sample_bytes, artifact.inputs)),
            output_bytes=tuple(map(sample_bytes, artifact.outputs)),
            layers=tuple(map(_layer, details["layers"])),
        )

    @property
    def constant_bytes(self) -> int:
        """Weights and tables of all layers."""
        return sum(layer.flash_bytes or 0 for layer in self.layers)

    @property
    def buffer_bytes(self) -> int:
        """Arena, inputs and outputs."""
        return self.arena_bytes + sum(self.input_bytes) + sum(self.output_bytes)


def sample_bytes(tensor: Tensor) -> int:
    """Size of one sample of an input or output."""
    return math.prod(tensor.shape) * np.dtype(tensor.dtype).itemsize


def _layer(data: dict[str, Any]) -> LayerCode:
    return LayerCode(data["function"], data["name"], data["operator"], data["macs"], data["ram_bytes"], data["flash_bytes"])
