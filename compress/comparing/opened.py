"""A file whose inner tensors can be looked at."""

from dataclasses import dataclass
from typing import Protocol

from targets.base import Array, Artifact


@dataclass(frozen=True)
class Traced:
    """A tensor that an operator of the file computes; `shape` is for one sample. `scale` and `zero_point` are None where it is float."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None

    def real(self, values: Array) -> Array:
        """The file's numbers as real ones."""
        return values if self.scale is None else (values.astype("float32") - (self.zero_point or 0)) * self.scale


class Opened(Protocol):
    """A file in its runtime, with nothing hidden."""

    artifact: Artifact
    runtime: str
    tensors: list[Traced]
    """In the order in which the file computes them."""
    output: int
    """Which of them is the first output."""

    def run(self, inputs: tuple[Array, ...]) -> list[Array]:
        """The values of all tensors for one sample, [1, …] each, from inputs as the file takes them."""
