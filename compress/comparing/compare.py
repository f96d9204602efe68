"""What `edgepress compare` finds: agreement of two files, and how far apart each tensor is that both compute."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compress.comparing.opened import Opened, Traced
from compress.comparing.pairing import pair, to_layout
from compress.data.base import Split
from compress.measuring import encoded
from compress.progress import Progress
from targets import formats
from targets.base import Array, Artifact
from targets.errors import UserError


@dataclass
class TensorDifference:
    """One tensor in both files, over all samples.

    `largest` is the largest difference of real values, `largest_steps` the same in integer steps of the first file (of the second
    where only that is quantized, None where neither is). `equal` is the share of values that are the same: the same integer where
    scales agree. `relative_error` is the root mean square of the difference over that of the first file's values.
    """

    name: str
    other_name: str
    shape: tuple[int, ...]
    dtypes: tuple[str, str]
    step: float | None
    same_scale: bool
    largest: float = 0.0
    values: int = 0
    equal_values: int = 0
    squares: float = 0.0
    reference_squares: float = 0.0

    def add(self, one: Array, other: Array) -> None:
        """Counts one sample's real values, both in the first file's layout."""
        difference = np.abs(one.astype(np.float64) - other.astype(np.float64))
        self.largest = max(self.largest, float(difference.max(initial=0.0)))
        self.values += difference.size
        self.equal_values += int((difference <= (0.5 * self.step if self.step and self.same_scale else 0.0)).sum())
        self.squares += float(np.square(difference).sum())
        self.reference_squares += float(np.square(one.astype(np.float64)).sum())

    @property
    def largest_steps(self) -> float | None:
        """The largest difference in integer steps."""
        return None if self.step is None else self.largest / self.step

    @property
    def equal(self) -> float:
        """The share of equal values."""
        return self.equal_values / max(self.values, 1)

    @property
    def relative_error(self) -> float:
        """Root mean squares, difference over values."""
        return float(np.sqrt(self.squares / self.reference_squares)) if self.reference_squares else float(self.squares > 0)


@dataclass(frozen=True)
class Comparison:
    """Two files over the same samples. `agreement` is the share with the same top-1, None where an output has one value only.

    `shared_scales` says whether every quantized tensor of the one has a partner with the same scale in the other;
    `unpaired` counts the tensors of each that the other doesn't have.
    """

    files: tuple[Artifact, Artifact]
    runtimes: tuple[str, str]
    samples: int
    agreement: float | None
    tensors: tuple[TensorDifference, ...]
    unpaired: tuple[int, int]
    shared_scales: bool

    @property
    def worst(self) -> TensorDifference | None:
        """The tensor with the largest difference, in integer steps where there are steps."""
        return max(self.tensors, key=lambda tensor: (tensor.largest_steps or 0.0, tensor.largest), default=None)


def compare(one: Path, other: Path, split: Split, progress: Progress) -> Comparison:
    """Runs both files over a part of the data. UserError for files that can't be looked into, or that give other outputs."""
    first, second = (_open(path) for path in (one, other))
    transposed = first.artifact.format != second.artifact.format
    output = _Pair(first, second, (first.output, second.output), transposed)
    pairs = [_Pair(first, second, found, transposed) for found in pair(first.tensors, second.tensors)]
    tops: list[tuple[int, int]] = []
    with progress.task(f"comparing {one.name} with {other.name}", split.samples) as task:
        for inputs, _ in split.batches(1):
            values, others = (file.run(encoded(file.artifact, inputs)) for file in (first, second))
            for each in pairs:
                each.difference.add(*each.aligned(values, others))
            mine, theirs = output.aligned(values, others)
            tops.append((int(mine.argmax()), int(theirs.argmax())))
            task.advance()
    scaled = {index for index, tensor in enumerate(first.tensors) if tensor.scale}
    several = np.prod(first.tensors[first.output].shape) > 1
    return Comparison(
        files=(first.artifact, second.artifact),
        runtimes=(first.runtime, second.runtime),
        samples=len(tops),
        agreement=float(np.mean([mine == theirs for mine, theirs in tops])) if several else None,
        tensors=tuple(each.difference for each in pairs),
        unpaired=(len(first.tensors) - len(pairs), len(second.tensors) - len(pairs)),
        shared_scales=bool(scaled) and scaled <= {each.positions[0] for each in pairs if each.difference.same_scale},
    )


class _Pair:
    """A tensor of the first file and the one of the second that it is compared with."""

    def __init__(self, first: Opened, second: Opened, positions: tuple[int, int], transposed: bool) -> None:
        self.one, self.other = first.tensors[positions[0]], second.tensors[positions[1]]
        self.positions, self.transposed = positions, transposed
        if np.prod(self.one.shape) != np.prod(self.other.shape):
            paths = (first.artifact.path, second.artifact.path)
            raise UserError(
                f"{paths[1]}: gives {list(self.other.shape)} where {paths[0]} gives {list(self.one.shape)}; compare like with like"
            )
        same = self.one.scale is not None and _parameters(self.one) == _parameters(self.other)
        self.difference = TensorDifference(
            self.one.name, self.other.name, self.one.shape, (self.one.dtype, self.other.dtype), self.one.scale or self.other.scale, same
        )

    def aligned(self, values: list[Array], others: list[Array]) -> tuple[Array, Array]:
        """Both as real values in the first file's layout."""
        mine, theirs = self.one.real(values[self.positions[0]]), self.other.real(others[self.positions[1]])
        return mine, to_layout(theirs, mine.shape, transposed=self.transposed)


def _parameters(tensor: Traced) -> tuple[object, ...]:
    return tensor.dtype, np.float32(tensor.scale or 0), tensor.zero_point


def _open(path: Path) -> Opened:
    artifact = formats.read(path)
    if artifact.format == "tflite":
        from compress.comparing.litert import LitertFile

        return LitertFile(artifact)
    if artifact.format == "onnx":
        from compress.comparing.onnx_runtime import OnnxFile

        return OnnxFile(artifact)
    raise UserError(f"{path}: C has no tensors to look at from outside; compare the .tflite that it was made from")
