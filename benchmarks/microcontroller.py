"""MLPerf Tiny's int8 networks on every emulated core: exactness, accuracy, cycles and memory beside the goals.

    python benchmarks/microcontroller.py --data ../shared/data --json

Each network's C runs on real inputs (random ones for the wake word), is compared byte by byte with LiteRT's reference kernels, and
one inference is counted. The goals are for cycles by single-issue timings and for RAM; CMSIS-NN's cycles are those of the same files
through its kernels, gcc 12 -Ofast, by the same timings. Rows with `max_ram_kb` run neighbouring layers in stripes for an arena of that
many kilobytes.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from targets import formats
from targets.base import Array, Artifact, Measurement, RunOptions
from targets.boards import Board
from targets.microcontroller import Microcontroller, cores

MIB = 1 << 20
COLUMNS = ("model", "max_ram_kb", "core", "instructions", "cycles", "goal_cycles", "cmsis_nn_cycles", "ram_bytes", "goal_ram_bytes")
COLUMNS += ("stack_bytes", "code_bytes", "goal_code_bytes", "weight_bytes", "exact", "samples", "accuracy")
GOAL_CODE_BYTES = 12 * 1024


@dataclass(frozen=True)
class Network:
    """A file of `mlperf_tiny/`, the loader of its inputs in `datasets.py`, and what is to be reached or beaten."""

    file: str
    inputs: Callable[[Any], tuple[Array, Array]] | None
    goal_ram_bytes: int | None = None
    goal_cycles: dict[str, float] | None = None
    cmsis_nn_cycles: dict[str, float] | None = None
    max_ram_kb: int | None = None


def pixels(loaded: tuple[Array, Array]) -> tuple[Array, Array]:
    """8-bit images as the int8 networks take them."""
    images, labels = loaded
    return (images.astype(np.int16) - 128).astype(np.int8), labels


NETWORKS = (
    Network(
        "kws_ref_model",
        lambda data: data.keyword_spotting(),
        16_000,
        {"cortex-m4": 6.0e6, "cortex-m0plus": 0.8 * 39.6e6},
        {"cortex-m4": 9.38e6, "cortex-m33": 9.41e6, "cortex-m0plus": 39.6e6},
    ),
    Network(
        "pretrainedResnet_quant",
        lambda data: pixels(data.cifar10("test")),
        49_152,
        {"cortex-m4": 22e6, "cortex-m0plus": 0.8 * 136.8e6},
        {"cortex-m4": 36.5e6, "cortex-m33": 37.4e6, "cortex-m0plus": 136.8e6},
    ),
    Network(
        "vww_96_int8",
        lambda data: pixels(data.visual_wake_words()),
        55_296,
        {"cortex-m4": 18e6, "cortex-m0plus": 0.8 * 118.6e6},
        {"cortex-m4": 29.9e6, "cortex-m33": 29.9e6, "cortex-m0plus": 118.6e6},
    ),
    Network("str_ww_ref_model", None),
)
NETWORKS += (replace(NETWORKS[2], goal_ram_bytes=32_768, max_ram_kb=32),)
"""The largest once more, with layers that run in stripes."""


def reference(artifact: Artifact, inputs: Array) -> Array:
    """LiteRT's reference kernels, sample by sample."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        interpreter = Interpreter(str(artifact.path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    (given,), (taken,) = interpreter.get_input_details(), interpreter.get_output_details()
    results = []
    for sample in inputs:
        interpreter.set_tensor(given["index"], sample[None])
        interpreter.invoke()
        results.append(interpreter.get_tensor(taken["index"])[0])
    return np.stack(results)


def measure(artifact: Artifact, core: str, inputs: Array, settings: dict[str, str]) -> Measurement:
    """On a board with memory for anything."""
    board = Board(core, core, "microcontroller", {}, core=core, clock_hz=100_000_000, flash_bytes=8 * MIB, ram_bytes=8 * MIB)
    return Microcontroller(board).run(artifact, [(inputs,)], RunOptions(settings=settings))


def row(network: Network, core: str, found: Measurement, expected: Array, labels: Array | None) -> dict[str, Any]:
    """What is reported of one network on one core."""
    if found.outputs is None:
        return {**dict.fromkeys(COLUMNS), "model": network.file, "max_ram_kb": network.max_ram_kb, "core": core, "reason": found.reason}
    outputs, ram, flash = found.outputs[0], found.details["ram"], found.details["flash"]
    right = None if labels is None else float(np.mean(outputs.reshape(len(outputs), -1).argmax(1) == labels))
    values = {
        "model": network.file,
        "max_ram_kb": network.max_ram_kb,
        "core": core,
        "instructions": found.instructions,
        "cycles": found.cycles,
        "goal_cycles": (network.goal_cycles or {}).get(core),
        "cmsis_nn_cycles": (network.cmsis_nn_cycles or {}).get(core),
        "ram_bytes": ram["arena"],
        "goal_ram_bytes": network.goal_ram_bytes,
        "stack_bytes": ram["stack"],
        "code_bytes": flash["code"] + flash["runtime"],
        "goal_code_bytes": GOAL_CODE_BYTES,
        "weight_bytes": flash["constants"],
        "exact": bool(np.array_equal(outputs, expected)),
        "samples": len(outputs),
        "accuracy": right,
    }
    return {**values, "emulated_samples": found.details["emulated_samples"], "runner": found.runner}


def inputs_of(network: Network, artifact: Artifact, datasets: Any, limit: int | None) -> tuple[Array, Array | None]:
    """Real inputs with their labels, or 200 random ones."""
    if network.inputs is None:
        shape = (200, *artifact.inputs[0].shape[1:])
        return np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)[:limit], None
    inputs, labels = network.inputs(datasets)
    return inputs[:limit], labels[:limit]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--samples", type=int, help="run so many of each network's inputs only")
    parser.add_argument("--cores", nargs="+", default=[name for name in cores.names() if name != "cortex-m3"], choices=cores.names())
    parser.add_argument("--optimization", default="O2")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sys.path.insert(0, str(options.data))
    import datasets

    rows = []
    for network in NETWORKS:
        artifact = formats.read(options.data / "mlperf_tiny" / f"{network.file}.tflite")
        inputs, labels = inputs_of(network, artifact, datasets, options.samples)
        expected = reference(artifact, inputs)
        settings = {"optimization": options.optimization}
        if network.max_ram_kb:
            settings["max_ram_kb"] = str(network.max_ram_kb)
        for core in options.cores:
            rows.append(row(network, core, measure(artifact, core, inputs, settings), expected, labels))
            if not options.json:
                print("  ".join(f"{key} {rows[-1][key]}" for key in COLUMNS), flush=True)
    if options.json:
        print(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
