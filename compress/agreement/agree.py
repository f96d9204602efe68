"""What `edgepress agree` finds: the answers of one file on the kernels of several instruction sets, against the reference kernels'."""

import platform
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from compress import parity
from compress.agreement.saturation import Exposed, find
from compress.data.base import Split
from compress.measuring import Scored, Trial, measure
from compress.metrics import Metric
from compress.progress import Progress
from targets import boards
from targets.base import Artifact, Measurement, RunOptions, Target
from targets.errors import ExportError, TargetUnreachableError, UserError

BOARDS = ("host", "x86-64-avx2", "raspberry-pi-3b-plus", "raspberry-pi-4", "raspberry-pi-5")
"""What is compared without being told: this machine, x86 without VNNI, Cortex-A53, A72 and, with dot products, A76."""
QUICK = RunOptions(warmup=0, repetitions=1, layers=False)
REFERENCE = replace(QUICK, settings={"kernels": "reference"})
PRECISE = replace(QUICK, settings={"kernels": "precise"})
EXTENSIONS = {
    "avx512_vnni": "AVX512-VNNI",
    "avx_vnni": "AVX-VNNI",
    "avx512bw": "AVX512 without VNNI",
    "avx2": "AVX2 without VNNI",
    "asimddp": "dot products",
}
"""Of Linux's flags for a processor, those by which integer kernels are chosen; the first that is there counts."""


@dataclass(frozen=True)
class Answer:
    """A file's outputs on one board's kernels. `kernels` says whose; `difference` is from the reference kernels' outputs.

    `exact`: the first output's numbers are the same. Where nothing ran, `reason` says why and how to enable it.
    """

    board: str
    kernels: str
    source: str
    score: float | None = None
    difference: parity.Difference | None = None
    exact: bool | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Agreement:
    """One file everywhere. `reference` comes first, then `answers`; `exposed` are the layers that may saturate on x86 without VNNI."""

    artifact: Artifact
    samples: int
    metric: str | None
    reference: Answer
    answers: tuple[Answer, ...]
    exposed: tuple[Exposed, ...]


def agree(artifact: Artifact, names: tuple[str, ...], split: Split, metric: Metric | None, progress: Progress) -> Agreement:
    """Runs a file over a part of the data on each board, after LiteRT's reference kernels, or ONNX Runtime without optimizations.

    Those dequantize an `.onnx` file's integers and compute in float. Where layers may saturate, x86 without VNNI answers a second time,
    by ONNX Runtime's slower kernels that don't. Raises UserError for C sources, and whatever the reference raises.
    """
    if artifact.format not in ("tflite", "onnx"):
        raise UserError(f"{artifact.path}: C is compiled for one processor; give the .tflite that it was made from")
    targets = [boards.target(name) for name in names]
    trial = Trial(split, metric, QUICK, progress=progress)
    reference = measure(artifact, boards.target("host"), replace(trial, options=REFERENCE))
    if not reference.measurement.outputs:
        raise UserError(f"{artifact.path}: {reference.measurement.reason}")
    exposed, answers = find(artifact, split, progress), []
    for target in targets:
        answers.append(_answer(_tried(artifact, target, trial), reference))
        if exposed and target.board.target == "x86" and answers[-1].difference:
            cured = _answer(_tried(artifact, target, replace(trial, options=PRECISE)), reference)
            answers.append(replace(cured, kernels=f"{cured.kernels}, kernels=precise"))
    name, own = metric.name if metric else None, _answer(reference, reference)
    return Agreement(artifact, split.samples, name, own, tuple(answers), exposed)


def instruction_set() -> str:
    """This machine's, as far as integer kernels are chosen by it, like `x86_64 with AVX512-VNNI`.

    Only Linux says it; elsewhere it is the machine's name alone.
    """
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        words = set()
    found = next((title for flag, title in EXTENSIONS.items() if flag in words), None)
    return platform.machine() + (f" with {found}" if found else "")


def _tried(artifact: Artifact, target: Target, trial: Trial) -> Scored:
    """The row of one board; where the file can't be run there, with the reason."""
    try:
        return measure(artifact, target, trial)
    except (ExportError, TargetUnreachableError) as error:
        return Scored(artifact, target.board.name, Measurement.missing(str(error)))


def _answer(row: Scored, reference: Scored) -> Answer:
    found, expected = row.measurement.outputs, reference.measurement.outputs
    board = boards.load(row.board) if row.board in boards.names() else None
    where = instruction_set() if row.board == "host" else str(board.core if board and board.core else row.board)
    kernels = "reference kernels" if row is reference else where
    if not found or not expected:
        return Answer(row.board, kernels, row.measurement.source, reason=row.measurement.reason)
    output = row.artifact.outputs[0]
    return Answer(
        row.board,
        kernels,
        row.measurement.source,
        row.evaluation.metric if row.evaluation else None,
        parity.compare(output.decode(expected[0]), output.decode(found[0]), _step(row.artifact)),
        bool(np.array_equal(expected[0], found[0])),
    )


def _step(artifact: Artifact) -> float | None:
    """The integer step of the first output, whichever way the file spells it; None where it is float."""
    if artifact.format != "onnx" or artifact.outputs[0].scale is not None:
        return artifact.outputs[0].scale
    from targets.formats import onnx

    return onnx.output_step(artifact.path, artifact.outputs[0].name)
