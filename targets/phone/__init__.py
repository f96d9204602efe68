"""Android phones over adb: LiteRT's own `benchmark_model` times `.tflite` files there, and compiled C gives outputs and times."""

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from targets import jobs
from targets.base import Artifact, Batch, Latency, Measurement, Problem, RunOptions
from targets.boards import Board
from targets.errors import ExportError, TargetUnreachableError, UserError
from targets.phone import benchmark_model, compiled
from targets.phone.adb import Phone as Connection
from targets.phone.adb import connect

DELEGATES = {"cpu": (), "gpu": ("--use_gpu=true",), "nnapi": ("--use_nnapi=true",)}
PROFILED_RUNS = 20
NO_PROGRAM = "no benchmark_model is named; give the path of LiteRT's program for Android: settings: {benchmark_model: PATH}"


@dataclass(frozen=True)
class Phone:
    """`.tflite` files on a phone, timed there by the `benchmark_model` that the user names, and C sources, built into a program.

    The device is `adb://HOST:PORT` (debugging over the network), `adb://SERIAL`, or the only phone connected by USB. Settings:
    `benchmark_model` (path of the program, built for the phone) and `delegate` (`cpu`, `gpu` or `nnapi`), neither for C. That program
    makes up its own inputs, so a `.tflite` file has no outputs and no accuracy here; its C has both (see `compiled`).
    """

    board: Board
    formats = ("tflite", "c")

    def available(self) -> Problem | None:
        """Whether adb can be spoken here; which phone is connected is found out by a run."""
        if importlib.util.find_spec("adb_shell") is None:
            return Problem("adb-shell is not installed", "run: pip install 'edgepress[phone]'")
        return None

    def choose(self, artifacts: Sequence[Artifact]) -> Sequence[Artifact]:
        """Every `.tflite` file and C sources."""
        return [artifact for artifact in artifacts if artifact.format in self.formats]

    def check(self, artifact: Artifact) -> Sequence[Problem]:
        """A format that can't be run."""
        return jobs.problems(artifact, self.board.name, self.formats)

    def run(self, artifact: Artifact, batches: Iterable[Batch], options: RunOptions) -> Measurement:
        """Times one inference, and once more with the profiler for a row an operator; of C sources all samples' outputs, too.

        Raises TargetUnreachableError where the phone that was named can't be reached or goes away, ExportError where the file can't be run
        there, UserError for settings or samples that don't apply.
        """
        missing = self.available()
        if missing is not None:
            return Measurement.missing(str(missing))
        if artifact.format == "c":
            return _on_phone(options, lambda phone: compiled.measure(phone, artifact, batches, options))
        chosen = jobs.settings(options, {"benchmark_model": (), "delegate": tuple(DELEGATES)})
        if "benchmark_model" not in chosen:
            return Measurement.missing(NO_PROGRAM)
        program = Path(chosen["benchmark_model"]).expanduser()
        if not program.is_file():
            raise UserError(f"settings.benchmark_model: {program} is no file")
        return _on_phone(options, lambda phone: _measure(phone, artifact, program, chosen["delegate"], options))


def _on_phone(options: RunOptions, work: Callable[[Connection], Measurement]) -> Measurement:
    """What the work on the phone gives; nothing is measured where none was named and none is there."""
    try:
        connection = connect(options.device)
    except TargetUnreachableError as error:
        if options.device is None:
            return Measurement.missing(f"{error}; or name a phone on the network: device: adb://HOST:PORT")
        raise
    with connection as phone:
        return work(phone)


def _measure(phone: Connection, artifact: Artifact, program: Path, delegate: str, options: RunOptions) -> Measurement:
    model = phone.push(artifact.path)
    command = [phone.push(program, executable=True), f"--graph={model}", f"--num_threads={options.threads}", *DELEGATES[delegate]]
    timing = [f"--warmup_runs={options.warmup}", f"--num_runs={options.repetitions}", f"--min_secs={options.min_seconds}"]
    timed = _run(phone, artifact, [*command, *timing])
    profiling = ["--warmup_runs=1", f"--num_runs={min(options.repetitions, PROFILED_RUNS)}", "--min_secs=0", "--enable_op_profiling=true"]
    profiled = _run(phone, artifact, [*command, *profiling])
    return Measurement(
        source="measured",
        runner=f"benchmark_model ({delegate}), threads: {options.threads}, {phone.title()}",
        latency=Latency(timed.p50_ms, timed.p90_ms, timed.repetitions, "measured"),
        ram_bytes=timed.ram_bytes,
        layers=profiled.layers,
        notes=("outputs are not compared: benchmark_model makes up its own inputs", *timed.notes),
        details={"load_ms": timed.init_ms, "first_ms": timed.first_ms},
    )


def _run(phone: Connection, artifact: Artifact, command: Sequence[str]) -> benchmark_model.Result:
    code, text = phone.shell(command)
    result = benchmark_model.parse(text)
    if code != 0 or result is None:
        said = benchmark_model.complaint(text) or f"it ended with code {code} and without a result"
        raise ExportError(f"{artifact.path}: benchmark_model can't run it: {said}")
    return result
