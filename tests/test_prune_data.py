"""Trained networks pruned: their sizes, what is left of their accuracy without training, and the masked network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from test_prune_channels import check

from compress import cost
from compress.context import Context
from compress.data.base import Data, Split
from compress.metrics import metric
from compress.model import capture
from compress.passes.prune_channels import PruneChannels

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SHAPES = {"resnet20": (3, 32, 32), "resnet8": (3, 32, 32), "dscnn": (1, 49, 10), "vww": (3, 96, 96)}

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not SHARED.exists(), reason=f"the trained networks are not beside the checkout ({SHARED.name} is missing)"),
]


def load(name, monkeypatch):
    monkeypatch.syspath_prepend(str(SHARED))
    import datasets
    import networks

    model = capture(networks.load(name), (torch.zeros(1, *SHAPES[name]),), name)
    inputs, labels = datasets.evaluation(name)
    seen = datasets.calibration(name)
    calibration = Split(len(seen), lambda rows: ((seen[rows],), np.zeros(len(rows), np.int64)))
    evaluation = Split(len(labels), lambda rows: ((inputs[rows],), labels[rows])).first(400)
    return model, Context(Data(name, calibration, calibration, evaluation, name), model, metric("accuracy"), device="cpu")


def accuracy(model, split):
    right = [(model(torch.from_numpy(inputs[0])).argmax(1).numpy() == labels) for inputs, labels in split.batches()]
    return float(np.concatenate(right).mean())


@pytest.mark.parametrize("ratio", [0.3, 0.5])
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name == "vww" else ()) for name in sorted(SHAPES)])
def test_the_pruned_network_is_the_masked_one(name, ratio, monkeypatch):
    model, context = load(name, monkeypatch)
    pruned = PruneChannels(ratio=ratio, criterion="l1", correct=False)(model, context)
    check(model, pruned)
    assert cost.macs(pruned) < {0.3: 0.56, 0.5: 0.33}[ratio] * cost.macs(model)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("resnet20", 0.75), ("resnet8", 0.5), ("dscnn", 0.75), ("vww", 0.7)])
def test_half_the_macs_without_training(name, least, monkeypatch):
    model, context = load(name, monkeypatch)
    pruned = PruneChannels(macs=0.5)(model, context)
    assert cost.macs(pruned) <= 0.5 * cost.macs(model)
    assert accuracy(pruned, context.data.evaluation) > least
