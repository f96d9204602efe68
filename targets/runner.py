"""Runs one .tflite or .onnx file on the machine that it lies on. Self-contained: this one file is what is pushed to a device.

It needs Python 3.7 or later, numpy, and for .tflite files ai_edge_litert or tflite_runtime, for .onnx files onnxruntime.
`python runner.py JOB` reads from the folder JOB

- `job.json`: `model` (path, from JOB), `format` (tflite or onnx), `kernels` (default, reference, or precise: no sum of integers saturates
  in ONNX Runtime on x86 without VNNI), `threads`, `warmup`, `repetitions`, `precision` (more repetitions until the median's bounds are
  this share of it to either side; or null), `min_seconds` (more repetitions until they took this long together), `profile` (list the
  operators with their times, where the runtime gives them), `parts` (files with an operator each, to be run by themselves), `mark` (for
  an emulator: announce the beginning and end of each inference by a system call instead of timing it), `practice` (for an emulator that
  counts operators: an .onnx file that takes [1, 4], of nodes that it knows; or null), `energy` (for how many seconds inferences follow
  each other while power is read, by `power.py` beside this file; 0: not at all), `system` (where sysfs is);
- `inputs-00000.npz`, `inputs-00001.npz`, …: arrays `0`, `1`, … for the file's inputs, [samples, …] each, already encoded;

and writes `outputs-00000.npz`, … likewise, and `result.json`: `runtime`, `load_ms`, `latency_ms` (one for each repetition, of the first
sample), `core_share` (for how much of that time this process had a core; with several threads up to their number), `ram_bytes`,
`layers`, `parts` (the median milliseconds of each; null where it can't run; marked, 0), `energy` (as `power.py` says; null where nobody
asked), or `error`, one line.
Outputs that are already there are kept, so a run that was cut off goes on.
"""

# ruff: noqa: B905  zip() has no strict before Python 3.10

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_BLOCKS, MOST_SECONDS = 100, 60.0
"""How often the repetitions are repeated at most, and for how long, until the median is as precise as asked."""
PART_REPETITIONS = 20
"""How often an operator by itself is run at most."""
MARK_BASE = 0xBEEF00
"""System calls from this number on do not exist; an emulator that counts instructions takes their last byte as a mark."""


class Tflite:
    """A .tflite file on LiteRT, or on the older tflite_runtime."""

    takes_batches = False

    def __init__(self, runtime: Any, job: dict[str, Any], folder: Path) -> None:
        resolver = runtime.OpResolverType.BUILTIN_REF if job["kernels"] == "reference" else runtime.OpResolverType.AUTO
        self.interpreter = runtime.Interpreter(
            str(folder / job["model"]), num_threads=job["threads"], experimental_op_resolver_type=resolver
        )
        self.interpreter.allocate_tensors()
        self.inputs = [entry["index"] for entry in self.interpreter.get_input_details()]
        self.results = [entry["index"] for entry in self.interpreter.get_output_details()]

    def set(self, sample: list[Any]) -> None:
        """Puts in one array for each input, [1, …]; what the file keeps from one inference to the next begins anew."""
        self.interpreter.reset_all_variables()
        for index, values in zip(self.inputs, sample):
            self.interpreter.set_tensor(index, values)

    def invoke(self) -> None:
        """One inference of what was put in."""
        self.interpreter.invoke()

    def outputs(self) -> list[Any]:
        """What the last inference gave."""
        return [self.interpreter.get_tensor(index) for index in self.results]

    def random_sample(self) -> list[Any]:
        """Numbers for each input, the same each time: integers below 128, others from 0 to 1."""
        random = np.random.RandomState(0)
        entries = [(tuple(entry["shape"]), np.dtype(entry["dtype"])) for entry in self.interpreter.get_input_details()]
        return [
            random.randint(0, 128, shape).astype(kind) if kind.kind in "iu" else random.rand(*shape).astype(kind) for shape, kind in entries
        ]

    def profile(self) -> list[dict[str, Any]]:
        """Nothing: LiteRT's Python interpreter has no times for operators, which is why each is run by itself (`parts`)."""
        return []


class Onnx:
    """An .onnx file on ONNX Runtime's CPU kernels."""

    def __init__(self, runtime: Any, job: dict[str, Any], folder: Path) -> None:
        self.runtime, self.job, self.folder = runtime, job, folder
        self.session = self.open(runtime.SessionOptions())
        self.names = [entry.name for entry in self.session.get_inputs()]
        self.takes_batches = all(not isinstance(entry.shape[0], int) for entry in self.session.get_inputs())
        self.feeds: dict[str, Any] = {}
        self.results: list[Any] = []

    def open(self, options: Any) -> Any:
        """A session on the file."""
        options.intra_op_num_threads = self.job["threads"]
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if self.job["kernels"] == "reference":
            options.graph_optimization_level = self.runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if self.job["kernels"] == "precise":
            options.add_session_config_entry("session.x64quantprecision", "1")
        return self.runtime.InferenceSession(str(self.folder / self.job["model"]), options, providers=["CPUExecutionProvider"])

    def set(self, sample: list[Any]) -> None:
        """Puts in one array for each input, [1, …], or [samples, …] where the file takes batches."""
        self.feeds = dict(zip(self.names, sample))

    def invoke(self) -> None:
        """One inference of what was put in."""
        self.results = self.session.run(None, self.feeds)

    def outputs(self) -> list[Any]:
        """What the last inference gave."""
        return self.results

    def profile(self) -> list[dict[str, Any]]:
        """Operators as ONNX Runtime runs them after its own fusions, each with the median of its times by ONNX Runtime's profiler.

        Where inferences are marked, those of one, without times, one for each time that one ends: a loop's are there again and again.
        """
        options = self.runtime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(self.folder / "profile")
        session = self.open(options)
        for _ in range(1 if self.job["mark"] else min(self.job["repetitions"], 50) + 1):
            session.run(None, self.feeds)
        report = Path(session.end_profiling())
        events = json.loads(report.read_text(encoding="utf-8"))
        report.unlink()
        ended = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
        keys = [(event["name"][: -len("_kernel_time")], event["args"]["op_name"]) for event in ended]
        if self.job["mark"]:
            return [{"name": plain(name), "operator": kind} for name, kind in keys]
        times: dict[tuple[str, str], list[float]] = {}
        for key, event in zip(keys, ended):
            times.setdefault(key, []).append(event["dur"] / 1000)
        medians = [(name, kind, float(np.median(each[1:] or each))) for (name, kind), each in times.items()]
        return [{"name": plain(name), "operator": kind, "latency_ms": median} for name, kind, median in medians]


def plain(name: str) -> str:
    """A node's name as the file has it, without the number that ONNX Runtime adds where it puts the node into another layout."""
    return re.sub(r"_token_\d+$", "", name)


RUNTIMES: dict[str, tuple[Any, tuple[str, ...], str]] = {
    "tflite": (Tflite, ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"), "ai-edge-litert"),
    "onnx": (Onnx, ("onnxruntime",), "onnxruntime"),
}


def find_runtime(kind: str) -> tuple[Any, str]:
    """The first runtime for a format that is installed here, with its name and version. LookupError with the cure if none is."""
    _, modules, package = RUNTIMES[kind]
    for name in modules:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        top = name.split(".")[0]
        return module, top.replace("_", "-") + " " + str(getattr(sys.modules[top], "__version__", "of unknown version"))
    raise LookupError("no runtime for ." + kind + " files here; install one with: pip install " + package)


def memory(field: str) -> int:
    """`VmRSS`, what of this process is in memory now, or `VmHWM`, the most that was, in bytes (Linux only: OSError elsewhere)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError("this system does not say " + field)


def memory_before() -> int | None:
    """What is in memory now; the record of the most that was begins anew. None on systems that don't say."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return memory("VmRSS")
    except OSError:
        return None


def marker() -> Any:
    """A function that tells an emulator that counts instructions where we are: a system call that does not exist, answered with ENOSYS."""
    call = ctypes.CDLL(None).syscall
    numbers = [ctypes.c_long(MARK_BASE + number) for number in range(5)]
    return lambda number: call(numbers[number])


def time_inference(model: Any, job: dict[str, Any], sample: list[Any]) -> list[float]:
    """Milliseconds of each repetition after warm-up, all on one sample, with Python's garbage collector at rest."""
    gc.disable()
    for _ in range(job["warmup"]):
        time_once(model, sample)
    times, begin = [], time.perf_counter()
    for _ in range(MOST_BLOCKS):
        times += [time_once(model, sample) for _ in range(job["repetitions"])]
        spent = time.perf_counter() - begin
        if spent > MOST_SECONDS or (spent >= job["min_seconds"] and precise(times, job["precision"])):
            break
    gc.enable()
    return times


def precise(times: list[float], wanted: float | None) -> bool:
    """Whether the bounds of the median are this share of it, or less, to either side; true where nothing is wanted."""
    if wanted is None:
        return True
    found = bounds(times)
    return found is not None and found[1] - found[0] <= 2 * wanted * float(np.median(times))


def bounds(times: Sequence[float]) -> tuple[float, float] | None:
    """Two of the times between which the true median lies with a confidence of 95 %; None for fewer than 10.

    These are the order statistics of the sign test, by the normal approximation; nothing is asked of the times but independence.
    """
    count = len(times)
    if count < 10:
        return None
    reach = 0.98 * count**0.5 + 0.5  # half of 1.96 standard deviations of a binomial, and of one step
    ordered = sorted(times)
    return ordered[max(0, int(count / 2 - reach))], ordered[min(count - 1, int(count / 2 + reach))]


def time_once(model: Any, sample: list[Any]) -> float:
    """Milliseconds of one inference."""
    model.set(sample)
    begin = time.perf_counter()
    model.invoke()
    return (time.perf_counter() - begin) * 1000


def mark_inference(model: Any, job: dict[str, Any], sample: list[Any]) -> None:
    """As often as `time_inference`: mark 0, mark 1, one inference, mark 2. From 0 to 1 is what a mark itself costs."""
    mark = marker()
    gc.disable()
    for _ in range(job["warmup"] + job["repetitions"]):
        model.set(sample)
        mark(0)
        mark(1)
        model.invoke()
        mark(2)
    gc.enable()


def practise(runtime: Any, job: dict[str, Any], folder: Path) -> None:
    """Mark 3, an inference of the job's practice, mark 4: from it the emulator learns where ONNX Runtime runs a node."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = (folder / job["practice"]).read_bytes()  # its path, another one each time, would move the counts that follow
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feeds = {session.get_inputs()[0].name: np.ones((1, 4), np.float32)}
    mark = marker()
    mark(3)
    session.run(None, feeds)
    mark(4)


def measure_energy(model: Any, job: dict[str, Any], sample: list[Any]) -> Any:
    """What `power.py` says of one inference, in a time of its own, so that reading a sensor disturbs no latency."""
    if not job["energy"]:
        return None
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    sys.dont_write_bytecode = True  # the folder holds what the job says, nothing else
    power = importlib.import_module("power")
    return power.measure(lambda: time_once(model, sample), job["energy"], Path(job["system"]))


def run_part(runtime: Any, job: dict[str, Any], folder: Path, part: str) -> float | None:
    """Median milliseconds of one operator by itself on random numbers; 0 where inferences are marked, None where it can't run."""
    few = {"warmup": min(job["warmup"], 1), "repetitions": min(job["repetitions"], PART_REPETITIONS)}
    job = dict(job, model=part, precision=None, min_seconds=0, **few)
    try:
        model = Tflite(runtime, job, folder)
        sample = model.random_sample()
        time_once(model, sample)
    except (RuntimeError, ValueError):
        return None
    if job["mark"]:
        mark_inference(model, job, sample)
        return 0.0
    return float(np.median(time_inference(model, job, sample)))


def load_arrays(path: Path) -> list[Any]:
    """Arrays `0`, `1`, … of an .npz file."""
    with np.load(str(path)) as arrays:
        return [arrays[str(number)] for number in range(len(arrays.files))]


def save_arrays(path: Path, arrays: list[Any]) -> None:
    """Writes an .npz file whole or not at all."""
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez(str(unfinished), **{str(number): values for number, values in enumerate(arrays)})
    unfinished.replace(path)


def infer(model: Any, arrays: list[Any]) -> list[Any]:
    """Outputs for all samples, [samples, …] each, in one call where the file takes batches, else one by one."""
    samples = len(arrays[0])
    step = samples if model.takes_batches else 1
    rows = []
    for start in range(0, samples, step):
        model.set([values[start : start + step] for values in arrays])
        model.invoke()
        rows.append(model.outputs())
    return [np.concatenate(column) for column in zip(*rows)]


def pieces(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Each file of inputs and the file for its outputs, in order."""
    for source in sorted(folder.glob("inputs-*.npz")):
        yield source, folder / source.name.replace("inputs-", "outputs-")


def run(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Does the job in a folder and says what came of it."""
    runtime, name = find_runtime(job["format"])
    sample = [values[:1] for values in load_arrays(next(pieces(folder))[0])]
    if job["practice"]:
        practise(runtime, job, folder)
    before = memory_before()
    begin = time.perf_counter()
    model = RUNTIMES[job["format"]][0](runtime, job, folder)
    load_ms = (time.perf_counter() - begin) * 1000
    clock, used = time.perf_counter(), time.process_time()
    times = [] if job["mark"] else time_inference(model, job, sample)
    core_share = (time.process_time() - used) / (time.perf_counter() - clock) if times else None
    if job["mark"]:
        mark_inference(model, job, sample)
    peak = None if before is None else max(memory("VmHWM") - before, 0)
    energy = measure_energy(model, job, sample)
    layers = model.profile() if job["profile"] else []
    parts = [run_part(runtime, job, folder, part) for part in job["parts"]]
    for source, destination in pieces(folder):
        if not destination.exists():
            save_arrays(destination, infer(model, load_arrays(source)))
    return {
        "runtime": name,
        "load_ms": load_ms,
        "latency_ms": times,
        "core_share": core_share,
        "ram_bytes": peak,
        "layers": layers,
        "parts": parts,
        "energy": energy,
    }


def main(folder: Path) -> int:
    """Runs the job and writes `result.json`; 1 when it failed, and then the file says why."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    try:
        result = run(folder, job)
    except Exception as error:  # noqa: BLE001  a runtime may raise anything, and the other side is told
        result = {"error": " ".join((type(error).__name__ + ": " + str(error)).split())}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return 1 if "error" in result else 0


if __name__ == "__main__":
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # ONNX Runtime's telemetry has a thread of its own, which disturbs times and counts
    sys.exit(main(Path(sys.argv[1])))
