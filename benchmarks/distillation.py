"""Distillation beside plain fine-tuning: the same pruned network, samples, epochs, augmentation and seeds.

    python benchmarks/distillation.py --data ../shared/data --json

resnet20_jpeg loses channels until a third of its MACs is left, and then learns from the 10,000 training images; only the loss differs
between the methods, and the last epoch counts. Temperature, alpha and weights are the passes' defaults, none was tuned to the test
images. `--held-out` scores a tenth of the training images, which are then not trained on, instead of the test images.
`rows`: `network`, `method`, `seed`, `macs_ratio`, `samples`, `epochs`, `accuracy` (percent of the 10,000 test images), `cpu_seconds` (a
teacher costs time too). `summary`: for each method the mean and standard deviation over the seeds, and what it gains over fine-tuning
of the same seed at least and on average, in points.
"""

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

METHODS = {
    "finetune": {"finetune": {}},
    "distill": {"distill": {}},
    "distill+attention": {"distill": {"losses": ("attention",)}},
    "distill+features": {"distill": {"losses": ("features",)}},
    "distill+relational": {"distill": {"losses": ("relational",)}},
}
TRAINING = {"learning_rate": 3e-3, "batch_size": 128, "augment": ("flip", "crop"), "held_out": 0.0}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the trained networks (default: ../shared/data beside the checkout)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--samples", type=int, default=10_000, help="training images")
    parser.add_argument("--held-out", action="store_true", help="score on training images that are left out; to choose settings by")
    return parser.parse_args()


def data_of(samples, held_out):
    """Images of resnet20_jpeg to train on, to calibrate with and to score on: those of the test part, or training images left out."""
    import numpy as np
    import shared_data

    from compress.data.base import Data, Split

    inputs, labels = shared_data.datasets.calibration("resnet20_jpeg", 10_000), shared_data.datasets.cifar10_jpeg("train")[1]
    order = np.random.default_rng(0).permutation(len(inputs))  # they come class by class

    def part(numbers):
        return Split(len(numbers), lambda rows: ((inputs[numbers[rows]],), labels[numbers[rows]]))

    training, left_out = (order[: min(samples, 9_000)], order[9_000:]) if held_out else (order[:samples], None)
    if left_out is not None:
        scored = part(left_out)
    else:
        test = shared_data.datasets.evaluation("resnet20_jpeg")
        scored = Split(len(test[1]), lambda rows: ((test[0][rows],), test[1][rows]))
    return Data("cifar10_jpeg", part(training), part(training[:256]), scored, "cifar10_jpeg")


def run(options):
    import shared_data
    import torch

    import compress
    from compress import cost
    from compress.api import make_context
    from compress.console import ConsoleProgress
    from compress.passes import PASSES

    torch.set_num_threads(1)
    data = data_of(options.samples, options.held_out)
    original = compress.load(shared_data.network("resnet20_jpeg"), data)
    small = compress.apply(original, data, {"prune_channels": {"macs": 1 / 3}})
    ratio = cost.macs(original) / cost.macs(small)
    for seed in options.seeds:
        for method in options.methods:
            name, special = next(iter(METHODS[method].items()))
            started = time.process_time()
            context = replace(make_context(small, data, seed=seed, progress=ConsoleProgress()), device="cpu")
            trained = PASSES.load(name)(**TRAINING, epochs=options.epochs, **special)(small, context)
            yield {
                "network": "resnet20_jpeg",
                "method": method,
                "seed": seed,
                "macs_ratio": round(ratio, 3),
                "samples": data.training.samples,
                "epochs": options.epochs,
                "cpu_seconds": round(time.process_time() - started, 1),
                "accuracy": round(100 * compress.evaluate(trained, data), 2),
            }


def summary(rows):
    """What each method reached and gains over fine-tuning, over the seeds that both have."""
    plain = {row["seed"]: row["accuracy"] for row in rows if row["method"] == "finetune"}
    for method in dict.fromkeys(row["method"] for row in rows):
        found = {row["seed"]: row["accuracy"] for row in rows if row["method"] == method}
        gains = [value - plain[seed] for seed, value in found.items() if seed in plain]
        yield {
            "method": method,
            "accuracy": round(statistics.mean(found.values()), 2),
            "accuracy_std": round(statistics.stdev(found.values()), 2) if len(found) > 1 else None,
            "least_gain": round(min(gains), 2) if gains else None,
            "mean_gain": round(statistics.mean(gains), 2) if gains else None,
        }


def main():
    options = arguments()
    if options.data:
        os.environ["EDGEPRESS_SHARED_DATA"] = str(options.data.resolve())
    rows = []
    for row in run(options):
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
    found = {"rows": rows, "summary": list(summary(rows))}
    print(json.dumps(found, indent=1) if options.json else "\n".join(json.dumps(each) for each in found["summary"]))


if __name__ == "__main__":
    main()
