"""One network through one quantizer, in the process that this file is: `python quantization_job.py FOLDER`.

FOLDER holds `job.json` (network, tool, scheme, passes, calibration, samples, jpeg; tool `float` is the network as it is) and, but for
`float`, the reference `float.npy` beside it; `result.json` is written there.
"""

import contextlib
import gc
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import quantization_tools
import shared_data
import torch

import compress
from compress.data.base import Split
from targets.base import Array, Artifact, RunOptions
from targets.errors import EdgepressError
from targets.runner import memory, memory_before

MEGABYTE = 1 << 20


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    images = shared_data.through_jpeg if job["jpeg"] else shared_data.datasets.evaluation
    inputs, labels = images(job["network"])
    evaluation = quantization_tools.split(inputs[: job["samples"]], labels[: job["samples"]])
    network = shared_data.network(job["network"])
    result = reference(folder, network, evaluation) if job["tool"] == "float" else quantized(folder, job, network, evaluation)
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


def reference(folder: Path, network: torch.nn.Module, evaluation: Split) -> dict[str, Any]:
    """The float network's outputs, kept, and its accuracy."""
    outputs = in_torch(network, evaluation)
    np.save(folder / "float.npy", outputs)
    return {"float_accuracy": percent(outputs.argmax(1) == labels_of(evaluation))}


def quantized(folder: Path, job: dict[str, Any], network: torch.nn.Module, evaluation: Split) -> dict[str, Any]:
    """What quantizing cost and how good the file is."""
    calibration = shared_data.calibration(job["network"], job["calibration"])
    quantize = quantization_tools.TOOLS[job["tool"]]
    with tempfile.TemporaryDirectory() as scratch:
        quantize(quantization_tools.Task(small_network(calibration), calibration[:8], job["scheme"], job["passes"], Path(scratch)))
    gc.collect()
    resting = memory_before()
    started, worked = time.perf_counter(), time.process_time()
    made = quantize(quantization_tools.Task(network, calibration, job["scheme"], job["passes"], folder))
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    peak = memory("VmHWM")
    expected = np.load(folder / "float.npy")
    result = {
        **scores(outputs_of(made.artifact, evaluation), expected, evaluation),
        "bytes": made.artifact.bytes,
        "seconds": seconds,
        "cpu_seconds": worked,
        "peak_mb": peak / MEGABYTE,
        "growth_mb": None if resting is None else (peak - resting) / MEGABYTE,
        "runtime": {"tflite": "litert", "onnx": "onnxruntime", "pt2": "torch"}[made.artifact.format],
    }
    if made.model is not None:
        result |= as_onnx(made.model, folder, expected, evaluation)
    return result


def small_network(calibration: Array) -> torch.nn.Module:
    """A few layers that take the same samples: quantized first, so that imports and first calls are in nobody's seconds."""
    channels = calibration.shape[1]
    first = [torch.nn.Conv2d(channels, 4, 3, stride=2), torch.nn.BatchNorm2d(4), torch.nn.ReLU()]
    return torch.nn.Sequential(*first, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)).eval()


def as_onnx(model: Any, folder: Path, expected: Array, evaluation: Split) -> dict[str, Any]:
    """The same model's other file."""
    try:
        artifact = compress.export(model, "onnx", folder)
        found = scores(outputs_of(artifact, evaluation), expected, evaluation)
    except EdgepressError as error:
        return {"onnx_problem": str(error)}
    return {"onnx_accuracy": found["accuracy"], "onnx_agreement": found["agreement"], "onnx_bytes": artifact.bytes}


def outputs_of(artifact: Artifact, evaluation: Split) -> Array:
    """Predictions [N, classes] of a file in its own runtime."""
    if artifact.format == "pt2":
        return in_torch(torch.export.load(artifact.path).module(), evaluation)
    unused = quantization_tools.data(np.zeros((0, 1), np.float32), evaluation)
    found = compress.profile(artifact, "host", unused, options=RunOptions(warmup=0, repetitions=1))
    if found.evaluation is None:
        raise EdgepressError(str(found.measurement.reason))
    return found.evaluation.outputs.reshape(evaluation.samples, -1)


def in_torch(network: torch.nn.Module, evaluation: Split) -> Array:
    """Predictions [N, classes] in torch."""
    with torch.no_grad():
        return np.concatenate([network(torch.from_numpy(inputs)).numpy() for (inputs,), _ in evaluation.batches(50)])


def scores(outputs: Array, expected: Array, evaluation: Split) -> dict[str, Any]:
    """Accuracy, how often the largest prediction is the float network's, and on which samples it isn't."""
    top, same = outputs.argmax(1), outputs.argmax(1) == expected.argmax(1)
    return {"accuracy": percent(top == labels_of(evaluation)), "agreement": percent(same), "differs": np.flatnonzero(~same).tolist()}


def labels_of(evaluation: Split) -> Array:
    return evaluation.load(np.arange(evaluation.samples))[1]


def percent(right: Array) -> float:
    return 100 * float(right.mean())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(Path(sys.argv[1]))
