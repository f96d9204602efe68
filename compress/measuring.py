"""Running an exported file on a target: accuracy on its own kernels, what it costs, and its distance from the torch graph."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from compress import parity
from compress.data.base import Array, Inputs, Split
from compress.evaluation import Evaluation, score
from compress.metrics import Metric
from compress.progress import Progress, Silent, Task
from targets.base import Artifact, Batch, Measurement, Problem, RunOptions, Target
from targets.errors import TargetUnreachableError, UserError


@dataclass(frozen=True)
class Scored:
    """A measurement and, where outputs came back and labels are known, how good they are and how far from the torch graph."""

    artifact: Artifact
    board: str
    measurement: Measurement
    evaluation: Evaluation | None = None
    port: parity.Difference | None = None
    problems: tuple[Problem, ...] = ()
    unreachable: bool = False
    exact: bool | None = None


@dataclass(frozen=True)
class Trial:
    """What files are measured on. `reference` holds the torch graph's outputs for the whole split and `step` their integer step.

    Without a metric nothing is said of how good the outputs are.
    """

    split: Split
    metric: Metric | None
    options: RunOptions = field(default_factory=RunOptions)
    reference: Array | None = None
    step: float | None = None
    progress: Progress = field(default_factory=Silent)


def measure(artifact: Artifact, target: Target, trial: Trial) -> Scored:
    """Runs a file on a target.

    A file that does not fit the board, or a target that is not there, gives a row that says why instead of figures.
    """
    problems = tuple(target.check(artifact))
    if problems:
        reason = f"does not work on {target.board.name}: {str(problems[0]).removeprefix(f'{artifact.path}: ')}"
        return Scored(artifact, target.board.name, Measurement.missing(reason), problems=problems)
    missing = None if trial.options.device else target.available()
    if missing:
        return Scored(artifact, target.board.name, Measurement.missing(str(missing)), problems=(missing,))
    part = trial.split if trial.options.samples is None else trial.split.first(trial.options.samples)
    labels: list[Array] = []
    with trial.progress.task(f"measuring {artifact.path.name} on {target.board.name}", part.samples) as task:
        measurement = target.run(artifact, _encoded(artifact, part, labels, task), trial.options)
    return _scored(Scored(artifact, target.board.name, measurement), labels, trial)


def attempt(artifact: Artifact, target: Target, trial: Trial) -> Scored:
    """As `measure`, but a device that can't be reached or goes away loses its own row only, which says so."""
    try:
        return measure(artifact, target, trial)
    except TargetUnreachableError as error:
        return Scored(artifact, target.board.name, Measurement.missing(str(error)), unreachable=True)


def _encoded(artifact: Artifact, split: Split, labels: list[Array], task: Task) -> Iterator[Batch]:
    for inputs, expected in split.batches(32):
        labels.append(expected)
        yield encoded(artifact, inputs)
        task.advance(len(expected))


def encoded(artifact: Artifact, inputs: Inputs) -> Batch:
    """Samples as the file takes them. UserError where the data has other inputs than the file."""
    if len(inputs) != len(artifact.inputs):
        raise UserError(f"{artifact.path}: takes {len(artifact.inputs)} inputs, the data gives {len(inputs)}")
    return tuple(_fitted(tensor.encode(array), tensor.shape, artifact) for tensor, array in zip(artifact.inputs, inputs, strict=True))


def _fitted(array: Array, shape: tuple[int, ...], artifact: Artifact) -> Array:
    """Samples as the file takes them: as they are, from NCHW to NHWC, or with axes of length 1 left out or put in."""
    wanted = shape[1:]
    if array.shape[1:] == wanted:
        return array
    if array.ndim == 4 and array.transpose(0, 2, 3, 1).shape[1:] == wanted:
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1))
    if [size for size in array.shape[1:] if size > 1] == [size for size in wanted if size > 1]:
        return array.reshape(len(array), *wanted)
    raise UserError(f"{artifact.path}: takes samples of shape {shape[1:]}, the data's are {array.shape[1:]}")


def _scored(row: Scored, labels: list[Array], trial: Trial) -> Scored:
    if not row.measurement.outputs or not labels:
        return row
    output = row.artifact.outputs[0]
    decoded = output.decode(row.measurement.outputs[0])
    if trial.reference is not None:
        wanted = trial.reference[: len(decoded)]
        row = replace(row, port=parity.compare(wanted, decoded.reshape(wanted.shape), output.scale or trial.step))
    if trial.metric is None:
        return row
    return replace(row, evaluation=score(decoded, np.concatenate(labels)[: len(decoded)], trial.metric))
