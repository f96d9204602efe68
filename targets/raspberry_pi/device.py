"""A board in the user's hand, over SSH: the runner and the file go there, its outputs and times come back."""

import hashlib
import json
import re
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets import jobs, ssh
from targets.base import Artifact, Batch, Measurement, RunOptions
from targets.boards import Board
from targets.errors import ExportError, TargetUnreachableError, UserError

FOLDER = ".cache/edgepress"
PYTHON = f"{FOLDER}/venv/bin/python"
"""The environment that `edgepress targets setup raspberry-pi --device …` makes there; without it, `python3`."""
FACTS = f"{FOLDER}/facts.py"
PACKAGES = {"tflite": "ai-edge-litert", "onnx": "onnxruntime"}
FLAGS = {0: "under-voltage", 1: "its clock was capped", 2: "it was throttled", 3: "it was near its temperature limit"}
SINCE_START = 16
"""How much higher the bits are that say the same of any time since the device was started."""
STOP_OLD = "[ -f ../../pid ] && grep -q runner.py /proc/$(cat ../../pid)/cmdline 2>/dev/null && kill $(cat ../../pid); echo $$ > ../../pid"
"""A runner that a lost connection left behind, of whatever job, would disturb the times of the next one."""
FORGET_OLD = f"find {FOLDER}/jobs -mindepth 1 -maxdepth 1 -type d -mtime +7 -exec rm -rf {{}} +"
"""Jobs that nobody came back to for a week."""


@dataclass(frozen=True)
class State:
    """What the device said of itself, before a run or after it."""

    python: str
    facts: dict[str, Any]

    @property
    def title(self) -> str:
        """What the device calls itself."""
        return str(self.facts["model"])


def measure(board: Board, artifact: Artifact, batches: Iterable[Batch], options: RunOptions) -> Measurement:
    """Runs every sample on the device `options.device` and times the first one.

    What has been pushed and computed stays there until the run is whole, so that one that was cut off goes on. Settings: `kernels` as
    for the host, `python` (the interpreter on the device), `timeout` (seconds for a whole run, 1800 without).
    Raises TargetUnreachableError where the device can't be reached, has no runtime for the file, no room, or takes too long;
    ExportError where the runtime can't run the file; UserError for samples or settings that don't fit.
    """
    chosen = {"timeout": "1800"} | jobs.settings(options, {"kernels": jobs.KERNELS, "python": (), "timeout": ()})
    if not chosen["timeout"].isdigit():
        raise UserError(f"settings.timeout: '{chosen['timeout']}' is no number of seconds")
    with ssh.connect(str(options.device)) as device, tempfile.TemporaryDirectory(prefix="edgepress-") as name:
        before = state(device, chosen.get("python", "").removeprefix("~/") or None)
        _require_runtime(device, before, artifact.format)
        visit = Visit(device, before, artifact, Path(name))
        jobs.write(visit.folder, artifact, batches, options, kernels=chosen["kernels"], model=f"../../{visit.model}")
        result = visit.execute(int(chosen["timeout"]))
        after = state(device, before.python)
        latency, layers = jobs.latency(result), jobs.layers(artifact, result)
        return Measurement(
            source="measured",
            runner=f"{result['runtime']}, {chosen['kernels']} kernels, threads: {options.threads}, {before.title} over SSH",
            outputs=jobs.outputs(visit.folder),
            latency=latency,
            ram_bytes=result["ram_bytes"],
            **jobs.energy(result),
            layers=layers,
            notes=(
                *_notes(board, before, after),
                *jobs.memory_note(result),
                *jobs.notes(latency, options),
                *jobs.sum_note(layers, latency),
                *jobs.core_note(result),
                *jobs.energy_note(result),
            ),
            details={"load_ms": result["load_ms"], "energy": result["energy"], "before": before.facts, "after": after.facts},
        )


@dataclass(frozen=True)
class Visit:
    """One file's run on a device: `folder` is the job as it is written here (see `jobs`)."""

    device: ssh.Device
    state: State
    artifact: Artifact
    folder: Path

    @property
    def model(self) -> str:
        """Where the file lies on the device, from edgepress's folder there."""
        return f"models/{self.artifact.sha256[:16]}-{self.artifact.path.name}"

    def execute(self, seconds: int) -> dict[str, Any]:
        """Sends the job, runs it, fetches what it wrote, and gives the result. The job leaves the device when it is whole."""
        remote = self._send()
        answer = self.device.run(
            f"cd {remote} && {{ {STOP_OLD}; exec {self._program()} runner.py .; }}", seconds, f"running {self.artifact.path.name}"
        )
        written = [name for name in self.device.checked(f"ls {remote}").split() if re.fullmatch(r"result\.json|outputs-\d+\.npz", name)]
        if "result.json" not in written:
            raise ExportError(f"{self.artifact.path}: the runtime on {self.device.address} ended: {answer.last_words}")
        self.device.pull({f"{remote}/{name}": self.folder / name for name in written})
        self.device.run(f"rm -rf {remote}; {FORGET_OLD}")
        result: dict[str, Any] = json.loads((self.folder / "result.json").read_text(encoding="utf-8"))
        if "error" in result:
            raise ExportError(f"{self.artifact.path}: on {self.device.address}: {result['error']}")
        return result

    def _send(self) -> str:
        """Copies the job; its folder there is called by a hash of all that is in it, so the same job finds what it left."""
        files = sorted(path for path in self.folder.iterdir() if path.is_file())
        digest = hashlib.sha256(f"{self.state.facts['runtimes']}".encode())
        for path in files:
            digest.update(path.read_bytes())
        remote = f"{FOLDER}/jobs/{digest.hexdigest()[:16]}"
        self.device.push({f"{FOLDER}/{self.model}": self.artifact.path, **{f"{remote}/{path.name}": path for path in files}})
        return remote

    def _program(self) -> str:
        """The interpreter as it is called from the job's folder."""
        python = self.state.python
        return shlex.quote(f"../../../../{python}" if "/" in python and not python.startswith("/") else python)


def state(device: ssh.Device, python: str | None = None) -> State:
    """What the device is and how it is now, by the named Python, or the one that was set up there, or `python3`."""
    device.push({FACTS: Path(__file__).with_name("facts.py")})
    named = shlex.quote(python) if python else f"$([ -x {PYTHON} ] && echo {PYTHON} || echo python3)"
    answer = device.run(f'P={named}; echo "$P"; "$P" {FACTS}', doing="its Python, asked what the device is,")
    first, _, rest = answer.said.partition("\n")
    if answer.code:
        cure = "it needs Python 3.7 or later: settings: {python: PATH}"
        raise TargetUnreachableError(f"{device.address}: {first}: {answer.last_words}; {cure}")
    return State(first, json.loads(rest))


def _require_runtime(device: ssh.Device, state: State, kind: str) -> None:
    if state.facts["runtimes"][kind] is None:
        cure = f"run: edgepress targets setup raspberry-pi --device {device.address.url}"
        raise TargetUnreachableError(f"{device.address}: its Python {state.facts['python']} has no numpy or no {PACKAGES[kind]}; {cure}")


def _notes(board: Board, before: State, after: State) -> Iterator[str]:
    if board.title not in before.title:
        yield f"the recipe says {board.title}, the device calls itself {before.title}"
    governor = before.facts["governor"]
    if governor not in (None, "performance"):
        yield f"the CPU governor is '{governor}': times vary with the clock; set it to 'performance' for steady ones"
    was, now = before.facts["throttled"] or 0, after.facts["throttled"] or 0
    for bit, meaning in FLAGS.items():
        if (now >> bit | (now & ~was) >> (bit + SINCE_START)) & 1:
            yield f"the device says: {meaning} during the run, so times are longer than they need be"
    if before.facts["mhz"] and after.facts["mhz"]:
        yield f"clock before and after: {before.facts['mhz']:g} and {after.facts['mhz']:g} MHz{_heat(before.facts, after.facts)}"


def _heat(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return f", {before['celsius']:g} and {after['celsius']:g} °C" if before["celsius"] and after["celsius"] else ""
