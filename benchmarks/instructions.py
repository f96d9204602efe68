"""Instructions of trained networks' files on emulated Raspberry Pis: of the whole, what the operators' rows add up to, and whether each is
the same every time. The networks are those of `../shared/data`; cores and runtimes those of `edgepress targets setup raspberry-pi`.

    python benchmarks/instructions.py --networks efficientnet_lite0 --formats onnx --repeats 3
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import quantization_tools
import shared_data
import torch

import compress
from compress.measuring import encoded
from targets import boards
from targets.base import Artifact, Measurement, RunOptions

PASSES: dict[str, list[Any]] = {"int8": [{"quantize": {"scheme": "int8"}}], "float": []}
COLUMNS = ("board", "network", "scheme", "format", "instructions", "same", "rows", "share", "runtime")


def files(network: str, scheme: str, formats: list[str], folder: Path) -> Iterator[Artifact]:
    """The network's files in these formats."""
    calibration = shared_data.calibration(network, 40)
    data = quantization_tools.data(calibration, quantization_tools.split(calibration[:1], np.zeros(1, np.int64)))
    model = compress.apply(compress.load(shared_data.network(network), data), data, *PASSES[scheme])
    for form in formats:
        yield compress.export(model, form, folder)


def counted(artifact: Artifact, board: str, sample: np.ndarray[Any, Any]) -> Measurement:
    """One emulated run. SystemExit with the cure where the board can't be emulated here."""
    found = boards.target(board).run(artifact, [encoded(artifact, (sample,))], RunOptions(samples=1))
    if found.instructions is None:
        raise SystemExit(found.reason or "instructions are not counted here: " + "; ".join(found.notes))
    return found


def row(artifact: Artifact, board: str, sample: np.ndarray[Any, Any], repeats: int) -> dict[str, Any]:
    """What the runs of a file have in common, and what the first one counted."""
    runs = [counted(artifact, board, sample) for _ in range(repeats)]
    whole, layers = runs[0].instructions, runs[0].layers
    total = sum(layer.instructions or 0 for layer in layers)
    same = all((run.instructions, run.layers) == (whole, layers) for run in runs)
    around = next((layer.instructions for layer in layers if layer.name == "runtime"), None)
    return {"board": board, "instructions": whole, "same": same, "rows": len(layers), "share": total / (whole or 1), "runtime": around}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["resnet8", "vww", "efficientnet_lite0"])
    parser.add_argument("--schemes", nargs="+", default=list(PASSES), choices=PASSES)
    parser.add_argument("--formats", nargs="+", default=["tflite", "onnx"], choices=["tflite", "onnx"])
    parser.add_argument("--boards", nargs="+", default=["raspberry-pi-4", "raspberry-pi-5"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for network in options.networks:
        sample = shared_data.datasets.evaluation(network)[0][:1]
        for scheme in options.schemes:
            with tempfile.TemporaryDirectory(prefix="edgepress-") as folder:
                for artifact in files(network, scheme, options.formats, Path(folder)):
                    for board in options.boards:
                        about = {"network": network, "scheme": scheme, "format": artifact.format}
                        rows.append(about | row(artifact, board, sample, options.repeats))
                        if not options.json:
                            print("  ".join(f"{key} {rows[-1][key]}" for key in COLUMNS), flush=True)
    if options.json:
        print(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
