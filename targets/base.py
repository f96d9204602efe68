"""What a target is, what it is given and what it gives back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from targets import runner

if TYPE_CHECKING:
    from targets.boards import Board

Array = NDArray[Any]
Batch = tuple[Array, ...]
"""One array for each input of a file, in the file's own shape, layout and dtype, except that the first axis counts samples."""

Source = Literal["measured", "emulated", "estimated", "not measured"]


@dataclass(frozen=True)
class Tensor:
    """An input or output of a file.

    `shape` is for one sample, so its first entry is 1 wherever the file has a batch axis; `dtype` is numpy's name
    (`float32`, `int8`, …). `scale` and `zero_point` are set where the file's numbers are quantized:
    real = (integer - zero_point) * scale. `permutation` takes an array in the model's layout to the file's
    (an NCHW model exported as NHWC has (0, 2, 3, 1)); None where they agree.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None
    permutation: tuple[int, ...] | None = None

    def encode(self, values: Array) -> Array:
        """Real values in the model's layout, [N, …], to the file's layout, dtype and scale (rounded to even, saturated)."""
        laid_out = values if self.permutation is None else values.transpose(self.permutation)
        if self.scale is not None:
            limits = np.iinfo(self.dtype)
            steps = np.rint(np.asarray(laid_out, np.float32) / np.float32(self.scale)) + (self.zero_point or 0)
            laid_out = np.clip(steps, limits.min, limits.max)
        return np.ascontiguousarray(laid_out, dtype=self.dtype)

    def decode(self, values: Array) -> Array:
        """The inverse of `encode`, as float32 where the file is quantized."""
        if self.scale is not None:
            values = (values.astype(np.float32) - np.float32(self.zero_point or 0)) * np.float32(self.scale)
        return values if self.permutation is None else values.transpose(tuple(np.argsort(self.permutation)))


@dataclass(frozen=True)
class Artifact:
    """An exported file (for `c`, a folder of sources): what a target runs and what the report's rows are about."""

    path: Path
    format: str
    sha256: str
    bytes: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def quantized(self) -> bool:
        """Whether the file takes integers in."""
        return any(tensor.scale is not None for tensor in self.inputs)


@dataclass(frozen=True)
class Problem:
    """One reason why a file will not work on a board, and what to do about it. Either may name a layer or operator."""

    reason: str
    cure: str

    def __str__(self) -> str:
        return f"{self.reason}; {self.cure}"


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one inference of one sample, of `repetitions` timed ones after warm-up (1 where it is counted or estimated).

    The true median lies between `low_ms` and `high_ms` with a confidence of 95 %; None where too few were timed to say.
    """

    p50_ms: float
    p90_ms: float
    repetitions: int
    source: Source
    p99_ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None

    @classmethod
    def of(cls, times: Sequence[float]) -> "Latency":
        """Of measured times, in milliseconds, at least one."""
        p50, p90, p99 = (float(value) for value in np.percentile(times, [50, 90, 99]))
        low, high = runner.bounds(times) or (None, None)
        return cls(p50, p90, len(times), "measured", p99, low, high)


@dataclass(frozen=True)
class Layer:
    """One operator of the file: what it costs on the target; None where this target can't say."""

    name: str
    operator: str
    macs: int | None = None
    latency_ms: float | None = None
    instructions: int | None = None
    cycles: int | None = None
    ram_bytes: int | None = None
    flash_bytes: int | None = None


@dataclass(frozen=True)
class Measurement:
    """What running a file on a target gave.

    `source` speaks for the outputs, counts and sizes; a latency has its own (an emulator gives exact instructions and an
    estimated time). `runner` names the software and its version. Where nothing ran, `source` is "not measured" and `reason`
    says why and how to enable it. `outputs` holds one array for each output of the file, [samples, …], in its own dtype.
    RAM is what one inference needs at its peak; flash is code and constants; energy in millijoules for one inference.
    """

    source: Source
    runner: str
    reason: str | None = None
    outputs: tuple[Array, ...] | None = None
    latency: Latency | None = None
    instructions: int | None = None
    cycles: int | None = None
    ram_bytes: int | None = None
    flash_bytes: int | None = None
    energy_mj: float | None = None
    energy_source: Source | None = None
    layers: tuple[Layer, ...] = ()
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def missing(cls, reason: str) -> "Measurement":
        """Nothing was measured, because of `reason`, which ends with the cure."""
        return cls(source="not measured", runner="none", reason=reason)


OUTLIVES_BURSTS = 0.5
"""Seconds: other work on a shared machine comes in bursts of tens of milliseconds, which would be all that a short timing sees."""


@dataclass(frozen=True)
class RunOptions:
    """How to measure. `samples` limits how many inputs are run for the outputs (None: all that are given); `layers` asks for a row
    an operator, `energy` for what a power sensor says, where there is one: both take seconds. `precision` is how narrow the bounds of
    the median shall be, plus or minus, as a share of it (0.02: 2 %), and `min_seconds` how long the timed inferences last together:
    where edgepress's own runner measures, more repetitions follow until both hold, up to 100 times `repetitions` or a minute.
    """

    warmup: int = 10
    repetitions: int = 100
    threads: int = 1
    samples: int | None = None
    device: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    layers: bool = True
    precision: float | None = None
    min_seconds: float = 0.0
    energy: bool = True


class Target(Protocol):
    """A board and a way to run files on it. One module of `targets/` a kind; the board's YAML names the kind."""

    board: "Board"
    formats: tuple[str, ...]
    """Formats it runs, the preferred first."""

    def available(self) -> Problem | None:
        """What of this machine or of the user's devices is missing to run anything here; None when nothing is."""

    def choose(self, artifacts: Sequence[Artifact]) -> Sequence[Artifact]:
        """Those of one model's files worth a row here (a microcontroller takes the C rather than the TFLite it was made from)."""

    def check(self, artifact: Artifact) -> Sequence[Problem]:
        """What of this file will not work on the board; empty when it fits. Builds and runs nothing."""

    def run(self, artifact: Artifact, batches: Iterable[Batch], options: RunOptions) -> Measurement:
        """Runs every sample for its outputs and measures one inference; TargetUnreachableError when the device goes away."""
