"""Trained networks quantized with the passes that win accuracy back: how near to the float network they stay."""

from pathlib import Path

import numpy as np
import pytest
import torch

from compress.context import Context
from compress.data.base import Data, Split
from compress.metrics import metric
from compress.model import capture
from compress.passes.adaround import Adaround
from compress.passes.equalize import Equalize
from compress.passes.quantize import Quantize

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
LARGEST_DROP = {"resnet8": 2.0, "dscnn": 1.0, "vww": 2.0, "resnet20": 1.0, "resnet56": 1.0}
"""Of accuracy, in points, with 4-bit weights."""

pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.exists(), reason=f"the trained networks are not beside the checkout ({SHARED.name} is missing)"),
]


def answers(model, split):
    return np.concatenate([model(torch.from_numpy(inputs[0])).argmax(1).numpy() for inputs, _ in split.batches()])


@pytest.mark.parametrize("name", LARGEST_DROP)
def test_little_is_lost(name, monkeypatch):
    monkeypatch.syspath_prepend(str(SHARED))
    import datasets
    import networks

    inputs, labels = datasets.evaluation(name)
    seen = datasets.calibration(name)
    model = capture(networks.load(name), (torch.from_numpy(seen[:2]),), name)
    calibration = Split(len(seen), lambda rows: ((seen[rows],), np.zeros(len(rows), np.int64)))
    evaluation = Split(len(labels), lambda rows: ((inputs[rows],), labels[rows]))
    context = Context(Data(name, calibration, calibration, evaluation, name), model, metric("accuracy"), device="cpu")
    real = answers(model, evaluation)
    for scheme in ("int8", "w4a8"):
        found = answers(Adaround()(Quantize(scheme=scheme)(Equalize(scheme=scheme)(model, context), context), context), evaluation)
        if scheme == "int8":
            assert (found == real).mean() >= 0.99
        assert (found == labels).mean() >= (real == labels).mean() - LARGEST_DROP[name] / 100
