"""The folder that `runner.py` works in: written before a run, here or for a device, and read after it."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from targets import power, runner
from targets.base import Array, Artifact, Batch, Latency, Layer, Problem, RunOptions
from targets.errors import ExportError, UserError, did_you_mean
from targets.formats import tflite, tflite_parts

KERNELS = ("default", "reference", "precise")
ENERGY_SECONDS = 3.0
"""How long power is read while inferences follow each other."""
SYSTEM = "/sys"
RARE, SLOW = 50, 2.0
"""From so many repetitions on, and from so many times the median, slow inferences are worth a note."""
RAM_NOTE = "RAM: the most that the process had in memory from loading the file to the last timed inference, less what it had before loading"
UNDISTURBED = 0.9
"""The least share of the time that a process which nobody disturbs has a core."""


def settings(options: RunOptions, known: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The settings of a run, the first possible value where the user gave none. UserError for an unknown name or value.

    `known` names each setting and its possible values; none means any.
    """
    for name, value in options.settings.items():
        if name not in known:
            raise UserError(f"settings: no setting is called '{name}'; {did_you_mean(name, known)}")
        if known[name] and value not in known[name]:
            raise UserError(f"settings.{name}: can't be '{value}'; {did_you_mean(value, known[name])}")
    return {name: values[0] for name, values in known.items() if values} | options.settings


def problems(artifact: Artifact, board: str, formats: Sequence[str]) -> list[Problem]:
    """What keeps a file from being run sample by sample in one of these formats."""
    if artifact.format not in formats:
        return [Problem(f"{artifact.path}: {board} runs no .{artifact.format} files", f"export {' or '.join(formats)}")]
    return [
        Problem(f"{artifact.path}: input '{tensor.name}' has shape {tensor.shape}", "export it for a batch size of 1")
        for tensor in artifact.inputs
        if not tensor.shape or tensor.shape[0] != 1
    ]


def write(folder: Path, artifact: Artifact, batches: Iterable[Batch], options: RunOptions, **details: Any) -> int:
    """Fills a folder with the runner, its job and the samples, one batch in memory at a time; gives the number of samples.

    `details` are the job's other entries (see `runner.py`). Raises UserError where there is no sample, where samples don't have the
    shape and dtype that the file takes, and where the disk is full.
    """
    usual = {
        "model": str(artifact.path.resolve()),
        "kernels": "default",
        "profile": options.layers,
        "mark": False,
        "parts": [],
        "practice": None,
    }
    job = (
        usual
        | {"energy": ENERGY_SECONDS if options.energy else 0, "system": SYSTEM}
        | {name: getattr(options, name) for name in ("threads", "warmup", "repetitions", "precision", "min_seconds")}
        | {"format": artifact.format}
        | details
    )
    samples = 0
    try:
        if options.layers:
            job["parts"] = _write_parts(folder, artifact)
        for program in (runner, power) if job["energy"] else (runner,):
            shutil.copy(str(program.__file__), folder)
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        for number, batch in enumerate(limited(batches, options.samples)):
            refuse_unfit(artifact, batch)
            runner.save_arrays(folder / f"inputs-{number:05}.npz", list(batch))
            samples += len(batch[0])
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror or error}; make room there or set TMPDIR to another folder") from None
    if not samples:
        raise UserError(f"{artifact.path}: there is no sample to run it on")
    return samples


def limited(batches: Iterable[Batch], samples: int | None) -> Iterator[Batch]:
    """The batches up to a number of samples, the last one cut; all of them where that is None."""
    for batch in batches:
        if samples is None:
            yield batch
            continue
        yield tuple(values[:samples] for values in batch)
        samples -= len(batch[0])
        if samples <= 0:
            return


def refuse_unfit(artifact: Artifact, batch: Batch) -> None:
    """UserError where a batch isn't what the file takes."""
    if len(batch) != len(artifact.inputs):
        raise UserError(f"{artifact.path}: takes {len(artifact.inputs)} inputs, the data gives {len(batch)}")
    for tensor, values in zip(artifact.inputs, batch, strict=True):
        if values.shape[1:] != tensor.shape[1:] or values.dtype != tensor.dtype:
            takes, given = f"{tensor.dtype} {tensor.shape[1:]}", f"{values.dtype} {values.shape[1:]}"
            raise UserError(f"{artifact.path}: input '{tensor.name}' takes samples of {takes}, the data's are {given}")


def execute(command: Sequence[str], folder: Path, artifact: Artifact, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Runs the job in a process of its own, so that a runtime's crash is its own, and gives what `result.json` says.

    `command` starts Python. Raises ExportError naming file and reason where the runtime can't run the file.
    """
    started = [*command, "runner.py", "."]
    done = subprocess.run(started, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", check=False)
    answer = folder / "result.json"
    if not answer.is_file():
        raise ExportError(f"{artifact.path}: {_last_words(done)}")
    result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in result:
        raise ExportError(f"{artifact.path}: {result['error']}")
    return result


def _last_words(done: "subprocess.CompletedProcess[str]") -> str:
    ended = f"was ended by {signal.Signals(-done.returncode).name}" if done.returncode < 0 else f"ended with code {done.returncode}"
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return f"the runtime {ended}" + (f": {said[-1]}" if said else "")


def outputs(folder: Path) -> tuple[Array, ...]:
    """One array for each output of the file, [samples, …]."""
    parts = [runner.load_arrays(path) for _, path in runner.pieces(folder)]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def latency(result: Mapping[str, Any]) -> Latency | None:
    """The measured latency in a result; None where nothing was timed."""
    return Latency.of(result["latency_ms"]) if result["latency_ms"] else None


def energy(result: Mapping[str, Any]) -> dict[str, Any]:
    """The measured energy in a result, as fields of a `Measurement`; none where there is no sensor."""
    found = (result["energy"] or {}).get("millijoules")
    return {"energy_mj": found, "energy_source": None if found is None else "measured"}


def energy_note(result: Mapping[str, Any]) -> tuple[str, ...]:
    """By which sensor, what it covers, and the power; or why nothing was measured. Nothing where nobody asked."""
    found = result["energy"]
    if found is None:
        return ()
    if "reason" in found:
        return (f"energy: not measured: {found['reason']}",)
    readings = f"{found['readings']} readings in {found['seconds']:.2g} s of inferences"
    watts = f"{found['watts']:.3g} W, of which {found['idle_watts']:.3g} W were there before, idle"
    return (f"energy: by {found['sensor']}, {found['covers']}; {readings}, {watts}",)


def memory_note(result: Mapping[str, Any]) -> tuple[str, ...]:
    """What the memory of a result is that of; nothing where the system doesn't say."""
    return () if result["ram_bytes"] is None else (RAM_NOTE,)


def notes(latency: Latency | None, options: RunOptions) -> tuple[str, ...]:
    """What is worth knowing of the times: a precision that was asked for and not reached, inferences that took much longer."""
    if latency is None:
        return ()
    return tuple(note for note in (_imprecise(latency, options.precision), _outliers(latency)) if note)


def core_note(result: Mapping[str, Any]) -> tuple[str, ...]:
    """That the timed inferences had to wait for a core, which makes times longer; nothing where they hardly had to."""
    share = result["core_share"]
    if share is None or share >= UNDISTURBED:
        return ()
    return (f"latency: inferences had a core for {100 * share:.0f} % of the time; times are longer than on a machine without other work",)


def _imprecise(latency: Latency, wanted: float | None) -> str | None:
    if wanted is None:
        return None
    if latency.low_ms is None or latency.high_ms is None:
        return f"latency: {latency.repetitions} repetitions are too few to say how precise it is"
    reached = (latency.high_ms - latency.low_ms) / 2 / latency.p50_ms
    if reached <= wanted:
        return None
    return f"latency: ±{100 * reached:.2g} % after {latency.repetitions:,} repetitions, not ±{100 * wanted:g} %; is the machine busy?"


def _outliers(latency: Latency) -> str | None:
    if latency.p99_ms is None or latency.repetitions < RARE or latency.p99_ms < SLOW * latency.p50_ms:
        return None
    return f"latency: one inference in a hundred took {latency.p99_ms / latency.p50_ms:.2g} times the median or more: others had the core"


def _write_parts(folder: Path, artifact: Artifact) -> list[str]:
    """Puts each operator of a `.tflite` file into a file of its own, for the job's entry `parts`: their names. Of others none."""
    names = []
    for number, part in enumerate(tflite_parts.split(artifact.path) if artifact.format == "tflite" else ()):
        names.append(f"operator-{number:05}.tflite")
        (folder / names[-1]).write_bytes(part.content)
    return names


def layers(artifact: Artifact, result: Mapping[str, Any], counts: Sequence[int | None] = ()) -> tuple[Layer, ...]:
    """The operators as the runtime profiled them; a `.tflite` file's with what each costs by itself, less what doing nothing costs.

    The first row is then of what an inference costs before any operator begins. `counts` are the instructions of the job's parts, where
    they were counted instead of timed. Operators that can't run by themselves, or weren't asked for, are listed without figures.
    """
    if result["layers"] or artifact.format != "tflite":
        return tuple(Layer(**entry) for entry in result["layers"])
    graph = tflite.load(artifact.path)
    rows = [Layer(graph.tensors[operator.outputs[0]].name, operator.name) for operator in graph.operators if operator.outputs]
    nothing, *costs = counts or result["parts"] or [None]
    if nothing is None:
        return tuple(rows)
    own = [None if cost is None else max(cost - nothing, 0) for cost in costs]
    told = zip([Layer(tflite_parts.RUNTIME, tflite_parts.RUNTIME), *rows], [nothing, *own], strict=True)
    return tuple(replace(row, instructions=cost) if counts else replace(row, latency_ms=cost) for row, cost in told)


def sum_note(layers: Sequence[Layer], latency: Latency | None, instructions: int | None = None) -> tuple[str, ...]:
    """What the operators by themselves add up to, of the whole; nothing where they weren't run by themselves."""
    if not layers or layers[0].name != tflite_parts.RUNTIME:
        return ()
    parts = sum((layer.latency_ms if instructions is None else layer.instructions) or 0 for layer in layers)
    whole = instructions or (latency.p50_ms if latency else 0)
    return (f"layers: each operator in a file of its own; together {100 * parts / whole:.1f} % of the whole",) if whole else ()
