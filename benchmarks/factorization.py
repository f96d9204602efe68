"""Low-rank factors without any training: ours beside a plain truncated SVD and Tucker-2 of the weights, at the same MACs.

    python benchmarks/factorization.py --data ../shared/data --json

`rows`: `network`, `tool` (`edgepress`; `edgepress, weights alone`, which sees no data; `torch.linalg`, the same share of ranks in every
layer), `asked` (times fewer MACs), `macs_ratio`, `accuracy` (percent, float32 in torch), `agreement` (percent of samples with the top-1 of
the whole network), `cpu_seconds`. Ours is then quantized and written: `tflite` and `onnx` are the percent right of the int8 file on this
machine, `tflite_agreement` and `onnx_agreement` how often its top-1 is that of the int8 network in torch. All on the same samples.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

NETWORKS = ("resnet20_jpeg", "vww", "dscnn")
TOOLS = {
    "edgepress": {},
    "edgepress, weights alone": {"weighted": False, "correct": False},
    "torch.linalg": None,
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the trained networks (default: ../shared/data beside the checkout)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--ratios", nargs="+", type=float, default=[1.5, 2.0], help="times fewer MACs")
    parser.add_argument("--samples", type=int, default=500, help="evaluation samples")
    parser.add_argument("--calibration", type=int, default=200, help="calibration samples")
    return parser.parse_args()


def data_of(name, options):
    """Samples to calibrate on and others to score on, each drawn with a fixed seed."""
    import numpy as np
    import shared_data

    from compress.data.base import Data, Split

    inputs = shared_data.datasets.calibration(name, 10_000 if name == "resnet20_jpeg" else options.calibration)
    inputs = inputs[np.random.default_rng(0).permutation(len(inputs))[: options.calibration]]
    scored, labels = shared_data.datasets.evaluation(name)
    chosen = np.random.default_rng(1).permutation(len(labels))[: options.samples]
    seen = Split(len(inputs), lambda rows: ((inputs[rows],), np.zeros(len(rows), np.int64)))
    return Data(name, seen, seen, Split(len(chosen), lambda rows: ((scored[chosen[rows]],), labels[chosen[rows]])), name)


def predictions(model, data):
    import torch

    return torch.cat([model(torch.from_numpy(inputs)) for (inputs,), _ in data.evaluation.batches(50)]).numpy()


def percent(first, second):
    """How often the largest of two arrays [N, classes] are the same."""
    return round(100 * float((first.argmax(1) == second.argmax(1)).mean()), 2)


def files(model, data):
    """The int8 files of a network: how often they are right, and agree with torch."""
    import compress
    from targets.base import RunOptions

    quantized = compress.apply(model, data, "quantize")
    expected, found = predictions(quantized, data), {}
    with tempfile.TemporaryDirectory() as folder:
        for form in ("tflite", "onnx"):
            row = compress.profile(compress.export(quantized, form, folder), "host", data, options=RunOptions(1, 1))
            outputs = row.evaluation.outputs.reshape(expected.shape)
            found |= {form: round(100 * row.evaluation.metric, 2), f"{form}_agreement": percent(outputs, expected)}
    return found


def run(options):
    import factorization_plain
    import shared_data
    import torch

    import compress
    from compress import cost

    torch.set_num_threads(1)
    for name in options.networks:
        data, network = data_of(name, options), shared_data.network(name)
        whole = compress.load(network, data)
        macs, expected = cost.macs(whole), predictions(whole, data)
        yield {"network": name, "tool": "whole", "accuracy": round(100 * compress.evaluate(whole, data), 2)} | files(whole, data)
        for ratio in options.ratios:
            for tool, choices in TOOLS.items():
                started = time.process_time()
                if choices is None:
                    plain = factorization_plain.to_macs(network, lambda made, data=data: cost.macs(compress.load(made, data)), macs / ratio)
                    made = compress.load(plain, data)
                else:
                    made = compress.apply(whole, data, {"low_rank": {"macs": 1 / ratio} | choices})
                yield {
                    "network": name,
                    "tool": tool,
                    "asked": ratio,
                    "macs_ratio": round(macs / cost.macs(made), 3),
                    "cpu_seconds": round(time.process_time() - started, 1),
                    "accuracy": round(100 * compress.evaluate(made, data), 2),
                    "agreement": percent(predictions(made, data), expected),
                } | (files(made, data) if tool == "edgepress" else {})


def main():
    options = arguments()
    if options.data:
        os.environ["EDGEPRESS_SHARED_DATA"] = str(options.data.resolve())
    rows = []
    for row in run(options):
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
