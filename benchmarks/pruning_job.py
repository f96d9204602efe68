"""One architecture through the pruners, in the process that this file is: `python pruning_job.py FOLDER`.

FOLDER holds `job.json` (architecture, wanted tools and ratios, exports); a row for each of these is added to `rows.jsonl` as it is found.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import architectures
import architectures_transformers
import numpy as np
import torch
from masked import Masked
from pruning_tools import TOOLS, Pruned, Task, share_left

import compress
from compress.model import Model, first_output
from targets import runner

ARCHITECTURES = {**architectures.ARCHITECTURES, **architectures_transformers.ARCHITECTURES}
TOLERANCE = 1e-4
"""Of the largest output: how far outputs may lie from the masked network's; files' may lie ten times as far from torch's."""


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    for tool, ratio in job["wanted"]:
        row = {"architecture": job["architecture"], "tool": tool, "ratio": ratio} | outcome(job, tool, ratio)
        with (folder / "rows.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def outcome(job: dict[str, Any], tool: str, ratio: float) -> dict[str, Any]:
    """What of `exact` and the files holds, the share of parameters left, and the first thing that went wrong."""
    found: dict[str, Any] = {"exact": False, **dict.fromkeys(("tflite", "onnx"), False if job["exports"] else None), "parameters": None}
    task = Task(job["architecture"], ARCHITECTURES[job["architecture"]], ratio)
    try:
        pruned = TOOLS[tool](task)
        found |= {"exact": exact(task, pruned), "parameters": share_left(task.captured(), pruned.model)}
    except Exception as error:  # noqa: BLE001  another tool may raise anything
        return found | {"error": one_line(error)}
    problems = [] if found["exact"] else ["differs from the masked network"]
    for form in ("tflite", "onnx") if job["exports"] else ():
        try:
            found[form] = same_in_runtime(task, pruned.model, form)
            problems += [] if found[form] else [f"{form} differs from torch"]
        except Exception as error:  # noqa: BLE001  a converter may raise anything
            problems.append(one_line(error))
    return found | {"error": problems[0] if problems else None}


def exact(task: Task, pruned: Pruned) -> bool:
    """Whether outputs are the masked network's, on inputs that nothing has seen."""
    inputs = task.architecture.inputs(3, seed=7)
    with torch.no_grad():
        expected = first_output(Masked(task.captured().graph, pruned.plan).run(inputs))
    return close(pruned.model(inputs).numpy(), expected.numpy(), TOLERANCE)


def same_in_runtime(task: Task, model: Model, form: str) -> bool:
    """Whether the exported file gives torch's outputs in its own runtime."""
    inputs = task.architecture.inputs(3, seed=7)
    expected = model(inputs).numpy()
    options = {"input_layout": "nchw"} if form == "tflite" else {}
    with tempfile.TemporaryDirectory() as folder:
        artifact = compress.export(model, form, folder, **options)
        settings = {"model": artifact.path.name, "kernels": "default", "threads": 1}
        file = runner.RUNTIMES[form][0](runner.find_runtime(form)[0], settings, Path(folder))
        given = []
        for sample in inputs.numpy():
            file.set([sample[None]])
            file.invoke()
            given.append(file.outputs()[0].copy())
    return close(np.concatenate(given).reshape(expected.shape), expected, 10 * TOLERANCE)


def close(given: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    return given.shape == expected.shape and bool(np.abs(given - expected).max() <= tolerance * np.abs(expected).max())


def one_line(error: Exception) -> str:
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {said}"[:200]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
