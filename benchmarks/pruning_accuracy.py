"""One network pruned by one tool and fine-tuned, in the process that this file is: `python pruning_accuracy.py FOLDER`.

FOLDER holds `job.json` (network, tool, macs_ratio, seed, epochs, samples, held_out, test_samples); the rows go to `result.json`.
"""

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import shared_data
import torch
from torch.nn import functional

import compress
from compress import cost
from compress.data.base import Data, Split
from compress.model import Model

NETWORKS = ("resnet56", "resnet20_jpeg")
TOOLS = ("edgepress", "torch-pruning")
TRAINING = {"augment": ("flip", "crop"), "held_out": 0.0}
CALIBRATION = 256
STEPS = 10
MOST = 0.9


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    torch.set_num_threads(1)
    torch.manual_seed(job["seed"])
    (folder / "result.json").write_text(json.dumps({"rows": rows(job)}), encoding="utf-8")


def rows(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Without fine-tuning, and after it where the job has epochs."""
    data = data_of(job)
    whole = compress.load(shared_data.network(job["network"]), data)
    pruned = ours(whole, data, job) if job["tool"] == "edgepress" else torch_pruning(data, job)
    found = [row(job, whole, pruned, data, 0)]
    if job["epochs"]:
        trained = compress.apply(pruned, data, {"finetune": TRAINING | {"epochs": job["epochs"]}}, seed=job["seed"])
        found.append(row(job, whole, trained, data, job["epochs"]))
    return found


def row(job: dict[str, Any], whole: Model, pruned: Model, data: Data, epochs: int) -> dict[str, Any]:
    return {
        "network": job["network"],
        "tool": job["tool"],
        "asked": job["macs_ratio"],
        "macs_ratio": round(cost.macs(whole) / cost.macs(pruned), 3),
        "finetuned": epochs > 0,
        "epochs": epochs,
        "seed": job["seed"],
        "accuracy": round(100 * compress.evaluate(pruned, data), 2),
    }


def data_of(job: dict[str, Any]) -> Data:
    """Training images in an order of the seed's, the first of them to calibrate with; test images, or training images left out."""
    name = job["network"]
    jpeg = name.endswith("jpeg")
    inputs = shared_data.datasets.calibration(name, 10_000 if jpeg else 4_000)
    labels = (shared_data.datasets.cifar10_jpeg if jpeg else shared_data.datasets.cifar10)("train")[1]
    order = np.random.default_rng(1000).permutation(len(labels))
    known, left_out = (order[:-1000], order[-1000:]) if job["held_out"] else (order, None)
    known = np.random.default_rng(job["seed"]).permutation(known)[: job["samples"]]

    def part(numbers: np.ndarray) -> Split:
        return Split(len(numbers), lambda rows: ((inputs[numbers[rows]],), labels[numbers[rows]]))

    if left_out is not None:
        scored = part(left_out)
    else:
        test = shared_data.datasets.evaluation(name)
        mixed = np.random.default_rng(1000).permutation(len(test[1]))[: job["test_samples"]]
        scored = Split(len(mixed), lambda rows: ((test[0][mixed[rows]],), test[1][mixed[rows]]))
    return Data(name, part(known), part(known[:CALIBRATION]), scored, name)


def ours(whole: Model, data: Data, job: dict[str, Any]) -> Model:
    """With the defaults."""
    return compress.apply(whole, data, {"prune_channels": {"macs": 1 / job["macs_ratio"], **job.get("options", {})}}, seed=job["seed"])


def torch_pruning(data: Data, job: dict[str, Any]) -> Model:
    """Torch-Pruning by its first-order Taylor importance, within residual blocks, channel by channel until the MACs are reached.

    Importance is asked anew before each of `STEPS` steps, and what is left over of the last step stays.
    """
    import torch_pruning as tool

    network = copy.deepcopy(shared_data.network(job["network"]))
    images, labels = next(data.calibration.batches(CALIBRATION))
    inputs, classes = torch.from_numpy(images[0]), torch.from_numpy(labels)
    streams = [network.conv1, *(layer for name, layer in network.named_modules() if name.endswith("conv2"))]
    pruner = tool.pruner.BasePruner(
        network,
        inputs[:1],
        tool.importance.GroupTaylorImportance(),
        pruning_ratio=MOST,
        iterative_steps=STEPS,
        ignored_layers=[network.linear, *streams],
    )
    macs = macs_counter(network, inputs[:1])
    goal = macs() / job["macs_ratio"]
    for _ in range(STEPS):
        network.zero_grad()
        functional.cross_entropy(network(inputs), classes).backward()
        for group in pruner.step(interactive=True):
            group.prune()
            if macs() <= goal:
                return compress.load(network.eval(), data)
    raise ValueError(f"Torch-Pruning doesn't come to {job['macs_ratio']} times fewer MACs")


def macs_counter(network: torch.nn.Module, example: torch.Tensor) -> Callable[[], int]:
    """The MACs of convolutions and linear layers as they are when it is asked."""
    positions: dict[Any, int] = {}
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)]
    hooks = [layer.register_forward_hook(lambda layer, _, made: positions.update({layer: made[0, 0].numel()})) for layer in layers]
    network(example)
    for hook in hooks:
        hook.remove()
    return lambda: sum(count * layer.weight.numel() for layer, count in positions.items())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
