"""`edgepress run` and `edgepress profile` on boards over SSH as their user sees them, on the emulated ones of a test script (as root):

    python tests/board_behind_sshd.py python benchmarks/boards.py --json

The quickstart, ResNet-8 and the visual wake words of `../shared/data` are quantized to int8 and measured on both boards at once. Then
the connection to one of them is cut while it works, and the same command is given again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import shared_data
import yaml

HERE = Path(__file__).resolve().parent
QUICKSTART = HERE.parent / "recipes" / "quickstart.yaml"
DEVICES = {"raspberry-pi-4": "ssh://four", "raspberry-pi-5": "ssh://five"}
COLUMNS = ("artifact", "target", "source", "accuracy", "samples", "latency_ms", "latency_source", "port_steps", "layers", "share", "runner")
CUT_SAMPLES = 160
SECONDS = 600


def data(network: str) -> dict[str, Any]:
    """What a network is calibrated on and evaluated on."""
    inputs, (x_test, y_test) = shared_data.calibration(network, 200), shared_data.datasets.evaluation(network)
    unknown = np.zeros(len(inputs), np.int64)
    return {"x_train": inputs, "y_train": unknown, "x_calibration": inputs, "y_calibration": unknown, "x_test": x_test, "y_test": y_test}


resnet8, resnet8_data = partial(shared_data.network, "resnet8"), partial(data, "resnet8")
vww, vww_data = partial(shared_data.network, "vww"), partial(data, "vww")


def recipe(name: str, folder: Path, samples: int, repetitions: int) -> Path:
    """A recipe for both boards: the quickstart's passes, or quantization alone."""
    if name == "quickstart":
        own = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
        own["model"]["weights"] = str(QUICKSTART.parent / own["model"]["weights"])
        own["budgets"] = {}
    else:
        own = {"version": 1, "name": name, "model": {"source": f"boards:{name}"}, "data": {"factory": f"boards:{name}_data"}}
        own["passes"] = [{"quantize": {"scheme": "int8"}}]
    targets = [{board: {"device": device}} for board, device in DEVICES.items()]
    measure = {"samples": samples, "repetitions": repetitions}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(own | {"export": ["tflite", "onnx"], "targets": targets, "measure": measure}), encoding="utf-8")
    return path


def say(found: dict[str, Any], name: str, answer: dict[str, Any]) -> None:
    """Keeps what came of a command and prints it at once."""
    found[name] = answer
    print(json.dumps({name: answer}), file=sys.stderr, flush=True)


def edgepress(folder: Path, *words: object) -> "subprocess.Popen[str]":
    """The command, with a folder of its own to run in."""
    found = os.pathsep.join(map(str, (HERE.parent, HERE, QUICKSTART.parent)))
    command = [sys.executable, "-m", "cli", *map(str, words), "--json"]
    environment = os.environ | {"PYTHONPATH": found}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def whole(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Exit code and columns of a command that nobody disturbs."""
    code, rows = answered(process)
    return {"exit_code": code, "rows": [told(row) for row in rows]}


def answered(process: "subprocess.Popen[str]") -> tuple[int, list[dict[str, Any]]]:
    """Exit code and rows of a command; what it said where it gave none."""
    said, complained = process.communicate()
    if not said:
        sys.exit(complained)
    return process.returncode, json.loads(said)["rows"]


def told(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of a row: how many operators have a time, and which share of the whole these add up to."""
    times = [layer["latency_ms"] for layer in row["layers"] if layer["latency_ms"] is not None]
    share = sum(times) / row["latency_ms"] if row["latency_ms"] else None
    return {name: row[name] for name in COLUMNS if name in row} | {"layers": len(times), "share": share}


def profile(folder: Path, file: Path, network: str, samples: int, repetitions: int) -> "subprocess.Popen[str]":
    """`edgepress profile` on both boards."""
    chosen = [word for board, device in DEVICES.items() for word in ("-t", board, "--device", device)]
    given = "digits" if network == "quickstart" else f"boards:{network}_data"
    return edgepress(folder, "profile", file, *chosen, "--data", given, "--samples", samples, "--repetitions", repetitions)


def cut(command: Callable[[], "subprocess.Popen[str]"]) -> dict[str, Any]:
    """Cuts the connection to the first board when it has answered some samples; what that command and the next one like it say."""
    host = DEVICES["raspberry-pi-4"].removeprefix("ssh://")
    home = Path(os.environ["BOARDS"]) / host / "home"
    broken = command()
    wait_for(home, broken)
    for session in sessions(home):
        os.kill(session, 9)
    code, rows = answered(broken)
    kept = outputs(home)
    again = command()
    seen: dict[Path, int] = {}
    while again.poll() is None:
        seen |= {path: written for path, written in outputs(home).items() if path in kept}
        time.sleep(0.2)
    return {
        "exit_code": code,
        "said": [f"{row['artifact']} on {row['target']}: {row['reason'] or row['source']}" for row in rows],
        "batches_kept": len(kept),
        "batches_made_again": sum(seen.get(path, written) != written for path, written in kept.items()),
        "next_exit_code": again.returncode,
        "next": [told(row) for row in answered(again)[1]],
    }


def outputs(home: Path) -> dict[Path, int]:
    """What a board holds of unfinished jobs: when each batch of outputs was written."""
    found = {}
    for path in home.glob(".cache/edgepress/jobs/*/outputs-*[0-9].npz"):
        with suppress(FileNotFoundError):
            found[path] = path.stat().st_mtime_ns
    return found


def wait_for(home: Path, process: "subprocess.Popen[str]") -> None:
    """Until a board has made some outputs."""
    end = time.monotonic() + SECONDS
    while len(outputs(home)) < 2:
        if process.poll() is not None or time.monotonic() > end:
            sys.exit("no outputs were made on the board")
        time.sleep(0.1)


def sessions(home: Path) -> Iterator[int]:
    """The processes of sshd that serve a board: parents of those that have its home."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            served = f"HOME={home}".encode() in (folder / "environ").read_bytes().split(b"\0")
            if served and (Path("/proc") / str(parent) / "comm").read_text(encoding="utf-8").startswith("sshd"):
                yield parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["quickstart", "resnet8", "vww"])
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--no-cut", action="store_true")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="edgepress-benchmark-") as name:
        folder = Path(name)
        for network in chosen.networks:
            given = recipe(network, folder, chosen.samples, chosen.repetitions)
            say(found, f"run {network}", whole(edgepress(folder, "run", given, "--output", folder / network)))
            for file in sorted((folder / network).glob(f"{network}.*[ex]")):
                say(found, f"profile {file.name}", whole(profile(folder, file, network, chosen.samples, chosen.repetitions)))
        if "vww" in chosen.networks and not chosen.no_cut:
            file, longer = folder / "vww" / "vww.tflite", recipe("vww", folder, CUT_SAMPLES, chosen.repetitions)
            say(found, "profile cut", cut(lambda: profile(folder, file, "vww", CUT_SAMPLES, chosen.repetitions)))
            say(found, "run cut", cut(lambda: edgepress(folder, "run", longer, "--output", folder / "cut")))
    print(json.dumps(found, indent=1) if chosen.json else yaml.safe_dump(found, sort_keys=False, width=200))
    return 0


if __name__ == "__main__":
    sys.exit(main())
