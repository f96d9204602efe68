"""One trained file as a source, in the process that this file is: `python sources_job.py FOLDER`.

FOLDER holds `job.json` (path, network, calibration, samples, part); `result.json` is written there. `part` is `keras` for a Keras file's
accuracy in Keras, which has a process of its own, else `edgepress` for everything else.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import shared_data

import compress
from compress.data.base import Data, Split
from compress.model import Model
from targets import formats
from targets.base import Artifact, RunOptions
from targets.errors import EdgepressError
from targets.formats import tflite

BATCH = 50


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    data = data_of(job["network"], job["calibration"], job["samples"])
    part = in_keras if job["part"] == "keras" else in_edgepress
    (folder / "result.json").write_text(json.dumps(part(Path(job["path"]), data, folder)), encoding="utf-8")


def data_of(network: str, calibration: int, samples: int | None) -> Data:
    """Samples in memory as our own API takes them; nothing is trained."""
    inputs, labels = shared_data.datasets.evaluation(network)
    inputs, labels = inputs[:samples], labels[:samples]
    unlabelled = shared_data.calibration(network, calibration)
    seen = Split(len(unlabelled), lambda rows: ((unlabelled[rows],), np.zeros(len(rows), np.int64)))
    return Data("benchmark", seen.first(0), seen, Split(len(inputs), lambda rows: ((inputs[rows],), labels[rows])), "benchmark")


def in_edgepress(path: Path, data: Data, folder: Path) -> dict[str, Any]:
    """Accuracy of the file in its runtime, read, quantized and pruned, and what kept one of them from being measured."""
    found: dict[str, Any] = {}
    problems: list[str] = []
    if path.suffix != ".h5":
        with told(problems, "source"):
            found["accuracy_source"] = of_file(formats.read(path), data)
        found["hybrid"] = path.suffix == ".tflite" and any(tensor.dtype == "int8" for tensor in tflite.load(path).tensors)
    with told(problems, "float"):
        model = compress.load(path, data)
        found["accuracy_float"] = 100 * compress.evaluate(model, data)
        after(model, data, folder, found, problems)
    return found | {"problems": problems}


def after(model: Model, data: Data, folder: Path, found: dict[str, Any], problems: list[str]) -> None:
    """Accuracy of the files made of a network that was read."""
    with told(problems, "int8"):
        quantized = compress.apply(model, data, "quantize")
        for name in ("tflite", "onnx"):
            with told(problems, f"int8 {name}"):
                found[f"accuracy_int8_{name}"] = of_file(compress.export(quantized, name, folder / "int8"), data)
    with told(problems, "pruned"):
        pruned = compress.apply(model, data, {"prune_channels": {"ratio": 0.3}})
        details = pruned.history[-1].details
        found["pruned_macs"] = details["after"]["macs"] / details["before"]["macs"]
        found["pruned_accuracy"] = of_file(compress.export(pruned, "tflite", folder / "pruned"), data)


def of_file(artifact: Artifact, data: Data) -> float:
    """Accuracy in percent of a file in its own runtime."""
    scored = compress.profile(artifact, "host", data, options=RunOptions(warmup=0, repetitions=1))
    if scored.evaluation is None:
        raise EdgepressError(str(scored.measurement.reason))
    return 100 * scored.evaluation.metric


def in_keras(path: Path, data: Data, _: Path) -> dict[str, Any]:
    """Accuracy in percent of a Keras file in Keras, which refuses a key that Keras 2 wrote and never used (`groups`)."""
    import keras

    class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
        def __init__(self, *, groups: int = 1, **settings: Any) -> None:
            assert groups >= 1
            super().__init__(**settings)

    network = keras.models.load_model(path, compile=False, custom_objects={"DepthwiseConv2D": DepthwiseConv2D})
    right = [
        np.asarray(network.predict(inputs.transpose(0, 2, 3, 1), verbose=0)).argmax(1) == labels
        for (inputs,), labels in data.evaluation.batches(BATCH)
    ]
    return {"accuracy_source": 100 * float(np.concatenate(right).mean()), "problems": []}


@contextmanager
def told(problems: list[str], step: str) -> Iterator[None]:
    """A step that the user is told of in one line when it fails."""
    try:
        yield
    except EdgepressError as error:
        problems.append(f"{step}: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
