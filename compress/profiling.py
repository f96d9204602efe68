"""Profiling a file that exists already: on real data or random inputs, and always against a reference runtime."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from compress.data.base import Array, Inputs, Split
from compress.devices import side_by_side
from compress.measuring import Scored, Trial, attempt, measure
from compress.metrics import Metric
from compress.progress import Progress, Silent
from targets import boards
from targets.base import Artifact, RunOptions, Tensor

REFERENCE = {"tflite": {"kernels": "reference"}, "onnx": {}}
"""Settings of the host target under which a format's outputs are the reference for every other target."""


@dataclass(frozen=True)
class Job:
    """What to profile a file with. Without data, `samples` random inputs of `seed` are run and there is no accuracy."""

    metric: Metric
    options: RunOptions
    split: Split | None = None
    samples: int = 20
    seed: int = 0
    progress: Progress = field(default_factory=Silent)


def profile(artifact: Artifact, names: Sequence[str], job: Job, devices: Sequence[str | None] = ()) -> list[Scored]:
    """One row for each board, measured on its entry of `devices`, if there is one. Several devices work beside each other.

    Outputs are compared with LiteRT's reference kernels (for ONNX: ONNX Runtime) on the same inputs.
    """
    split = job.split or random_inputs(artifact, job.samples, job.seed)
    if job.options.samples is not None:
        split = split.first(job.options.samples)
    trial = Trial(split, job.metric, job.options, progress=job.progress)
    settings = REFERENCE.get(artifact.format)
    expected: tuple[Array, ...] | None = None
    if settings is not None:
        quick = RunOptions(0, 1, job.options.threads, job.options.samples, settings=settings, layers=False, energy=False)
        expected = measure(artifact, boards.target("host"), replace(trial, options=quick)).measurement.outputs
    rows = [_against(row, expected) for row in _measured(artifact, names, devices or [None] * len(names), trial)]
    return rows if job.split else [replace(row, evaluation=None) for row in rows]


def _measured(artifact: Artifact, names: Sequence[str], devices: Sequence[str | None], trial: Trial) -> list[Scored]:
    rows: dict[int, Scored] = {}
    numbers: dict[str | None, list[int]] = {}
    for number, device in enumerate(devices):
        numbers.setdefault(device, []).append(number)

    def work(device: str | None) -> None:
        for number in numbers[device]:
            own = replace(trial, options=replace(trial.options, device=device))
            rows[number] = attempt(artifact, boards.target(names[number]), own)

    side_by_side([partial(work, device) for device in numbers])
    return [rows[number] for number in sorted(rows)]


def _against(row: Scored, expected: tuple[Array, ...] | None) -> Scored:
    from compress import parity

    found = row.measurement.outputs
    if not found or not expected:
        return row
    output = row.artifact.outputs[0]
    port = parity.compare(output.decode(expected[0]), output.decode(found[0]), output.scale)
    exact = all(np.array_equal(one, other) for one, other in zip(expected, found, strict=True))
    return replace(row, port=port, exact=exact)


def random_inputs(artifact: Artifact, samples: int, seed: int) -> Split:
    """Inputs that use a quantized file's whole range, or standard normal ones for a float file."""

    def load(numbers: np.ndarray) -> tuple[Inputs, Array]:
        drawn = [
            [_draw(tensor, np.random.default_rng((seed, int(number), i))) for number in numbers] for i, tensor in enumerate(artifact.inputs)
        ]
        return tuple(np.stack(arrays) for arrays in drawn), np.zeros(len(numbers), np.int64)

    return Split(samples, load)


def _draw(tensor: Tensor, generator: np.random.Generator) -> Array:
    shape = tensor.shape[1:]
    if np.issubdtype(np.dtype(tensor.dtype), np.integer):
        limits = np.iinfo(tensor.dtype)
        integers = generator.integers(limits.min, limits.max, shape, dtype=tensor.dtype, endpoint=True)
        decoded: Array = tensor.decode(integers[None])[0]
        return decoded
    return generator.standard_normal(shape, np.float32)
