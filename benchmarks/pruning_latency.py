"""A network pruned for a target, with its int8 files there before and after: `python pruning_latency.py FOLDER`, a process each.

FOLDER holds `job.json` (network, target, macs, scope); the row goes to `result.json`.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import shared_data
import torch

import compress
from compress import cost
from compress.data.base import Data, Split
from compress.model import Model
from targets import boards
from targets.base import RunOptions

NETWORKS = ("resnet20", "dscnn", "vww")
TARGETS = ("host", "nucleo-l4r5zi")
TURNS = 5
"""How often files are measured on this machine, before and after in turn; the least median counts."""


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    (folder / "result.json").write_text(json.dumps({"rows": [row(job)]}), encoding="utf-8")


def row(job: dict[str, Any]) -> dict[str, Any]:
    name, target = job["network"], job["target"]
    inputs = shared_data.calibration(name, 200)
    split = Split(len(inputs), lambda rows: ((inputs[rows],), np.zeros(len(rows), np.int64)))
    tested, labels = shared_data.datasets.evaluation(name)
    scored = Split(len(labels), lambda rows: ((tested[rows],), labels[rows]))
    data = Data(name, split, split, scored, name)
    whole = compress.load(shared_data.network(name), data)
    options = {"macs": job["macs"], "scope": job["scope"]}
    untargeted, uncorrected, pruned = (
        compress.apply(whole, data, {"prune_channels": options | more})
        for more in ({}, {"target": target, "correct": False}, {"target": target})
    )
    before, after = latencies([whole, pruned], target, data)
    accuracies = {"whole": whole, "untargeted": untargeted, "uncorrected": uncorrected, "pruned": pruned}
    expected = pruned.history[-1].details["latency"]
    return {
        "network": name,
        "target": target,
        "scope": job["scope"],
        "macs_ratio": round(cost.macs(whole) / cost.macs(pruned), 3),
        "before_ms": round(before, 4),
        "after_ms": round(after, 4),
        "ratio": round(before / after, 3),
        "expected_ms": round(expected["after"], 4),
        **{f"accuracy_{name}": round(100 * compress.evaluate(model, data), 2) for name, model in accuracies.items()},
    }


def latencies(models: list[Model], target: str, data: Data) -> list[float]:
    """Milliseconds of the int8 file of each: TFLite on this machine, C on a microcontroller."""
    form = "tflite" if boards.load(target).target == "host" else "c"
    with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
        quantized = [compress.apply(model, data, "quantize") for model in models]
        files = [compress.export(model, form, Path(folder) / str(number)) for number, model in enumerate(quantized)]
        found: list[list[float]] = [[] for _ in files]
        for _ in range(TURNS if form == "tflite" else 1):
            for times, file in zip(found, files, strict=True):
                measured = compress.profile(file, target, data, options=RunOptions(warmup=50, repetitions=300)).measurement
                times.append(measured.latency.p50_ms)
    return [min(times) for times in found]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
