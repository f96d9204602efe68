"""Networks quantized by edgepress to each type of numbers, on one board: exactness, accuracy, cycles and memory.

    python benchmarks/microcontroller_types.py --networks dscnn resnet8 vww --json

Each network of shared/data is quantized by the `quantize` pass alone, on 200 samples, and exported as TFLite. Its C runs on the first real
samples and is compared byte by byte with LiteRT's reference kernels.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import microcontroller
import quantization_tools
import shared_data
import torch

from compress.measuring import encoded
from targets import boards
from targets.base import RunOptions

SCHEMES = {name: [{"quantize": {"scheme": name}}] for name in ("int8", "w4a8", "int16x8")} | {"float": []}
COLUMNS = ("network", "scheme", "cycles", "arena_bytes", "stack_bytes", "code_bytes", "weight_bytes", "exact", "samples", "accuracy")


def row(network: str, scheme: str, board: str, samples: int) -> dict[str, Any]:
    """One network of one type on a board."""
    inputs, labels = (values[:samples] for values in shared_data.datasets.evaluation(network))
    with tempfile.TemporaryDirectory() as folder:
        calibration = shared_data.calibration(network, 200)
        task = quantization_tools.Task(shared_data.network(network), calibration, scheme, SCHEMES[scheme], Path(folder))
        artifact = quantization_tools.edgepress(task).artifact
        (given,) = encoded(artifact, (inputs,))
        found = boards.target(board).run(artifact, [(given,)], RunOptions())
        expected = microcontroller.reference(artifact, given)
    if found.outputs is None:
        return {**dict.fromkeys(COLUMNS), "network": network, "scheme": scheme, "reason": found.reason}
    outputs, ram, flash = found.outputs[0], found.details["ram"], found.details["flash"]
    values = (network, scheme, found.cycles, ram["arena"], ram["stack"], flash["code"] + flash["runtime"], flash["constants"])
    right = float((outputs.reshape(len(outputs), -1).argmax(1) == labels).mean())
    return dict(zip(COLUMNS, (*values, bool((outputs == expected).all()), len(outputs), right), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["dscnn", "resnet8", "vww"])
    parser.add_argument("--schemes", nargs="+", default=list(SCHEMES), choices=SCHEMES)
    parser.add_argument("--board", default="nucleo-l4r5zi")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for network in options.networks:
        for scheme in options.schemes:
            rows.append(row(network, scheme, options.board, options.samples))
            if not options.json:
                print("  ".join(f"{key} {rows[-1][key]}" for key in COLUMNS), flush=True)
    if options.json:
        print(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
