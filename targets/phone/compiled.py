"""Compiled networks on a phone: a static program of ours around the C runs every sample there and times one inference."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from targets import jobs
from targets.base import Array, Artifact, Batch, Latency, Measurement, RunOptions
from targets.errors import ExportError, UserError
from targets.microcontroller import toolchain
from targets.microcontroller.sources import Sources
from targets.phone.adb import Phone

MACHINES = {
    "aarch64": "aarch64-linux-musl",
    "armv7l": "arm-linux-musleabihf",
    "armv8l": "arm-linux-musleabihf",
    "x86_64": "x86_64-linux-musl",
    "i686": "x86-linux-musl",
}
"""What `uname -m` says, and what zig calls it; musl, so that the program needs nothing of the phone."""
NOTE = "latency: of the compiled C on one core, which is not LiteRT's"


def measure(phone: Phone, artifact: Artifact, batches: Iterable[Batch], options: RunOptions) -> Measurement:
    """Outputs of every sample and the latency of the first, of an artifact of format `c`.

    Raises ExportError where the C can't be built or run there, UserError for samples that don't fit the file or a full disk.
    """
    machine = phone.shell(["uname", "-m"])[1].strip()
    if machine not in MACHINES:
        raise ExportError(f"{artifact.path}: {phone.title()} calls its processor '{machine}'; known are {', '.join(MACHINES)}")
    sources = Sources.of(artifact)
    program = phone.push(build(sources, machine), executable=True)
    with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
        given, made = Path(folder) / "inputs.bin", Path(folder) / "outputs.bin"
        _write(given, artifact, jobs.limited(batches, options.samples))
        inputs = phone.push(given)
        outputs = inputs.replace("inputs.bin", "outputs.bin")
        timing = map(str, (options.warmup, options.repetitions, options.min_seconds))
        code, said = phone.shell([program, inputs, outputs, *timing])
        if code != 0:
            phone.shell(["rm", "-f", inputs, outputs])
            raise ExportError(f"{artifact.path}: on {phone.title()}: {(said.splitlines() or [f'ended with code {code}'])[-1]}")
        phone.pull(outputs, made)
        phone.shell(["rm", "-f", inputs, outputs])
        return Measurement(
            source="measured",
            runner=f"{toolchain.compiler_name()} for {machine}, threads: 1, {phone.title()}",
            outputs=read(made, artifact),
            latency=Latency.of([int(line) / 1e6 for line in said.splitlines() if line.strip().isdigit()]),
            notes=(NOTE,),
        )


def build(sources: Sources, machine: str) -> Path:
    """The program for a machine as `uname -m` names it. EdgepressError with the C compiler's words where it can't be built."""
    own = Path(__file__).with_name("program.c")
    defines = {
        "RUN": f"{sources.name}_run",
        "ARENA_BYTES": str(sources.arena_bytes),
        "INPUT_BYTES": ",".join(map(str, sources.input_bytes)),
        "OUTPUT_BYTES": ",".join(map(str, sources.output_bytes)),
    }
    arguments = ["-O2", "-g0", "-static", "-target", MACHINES[machine], *(f"-D{name}={value}" for name, value in defines.items())]
    return toolchain.build(f"{sources.name}-{machine}", arguments, [own, *sources.files], sources.headers, ("-I", str(sources.folder)))


def _write(path: Path, artifact: Artifact, batches: Iterable[Batch]) -> None:
    """The samples one after the other, each input's bytes in order, one batch in memory at a time."""
    with path.open("wb") as file:
        for batch in batches:
            jobs.refuse_unfit(artifact, batch)
            for sample in range(len(batch[0])):
                for values in batch:
                    file.write(np.ascontiguousarray(values[sample]).tobytes())
        if not file.tell():
            raise UserError(f"{artifact.path}: there is no sample to run it on")


def read(path: Path, artifact: Artifact) -> tuple[Array, ...]:
    """What the program wrote: [samples, …] for each output, in its own dtype."""
    record = np.dtype([(str(number), tensor.dtype, tensor.shape[1:]) for number, tensor in enumerate(artifact.outputs)])
    records = np.fromfile(path, record)
    return tuple(records[str(number)] for number in range(len(artifact.outputs)))
