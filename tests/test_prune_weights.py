"""Weights of small magnitude become zero, and stay zero."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_networks import Network, conv, digest
from torch import nn

from compress.context import Context
from compress.data.base import Data, Split
from compress.metrics import metric
from compress.model import capture
from compress.passes.finetune import Finetune
from compress.passes.prune_weights import PruneWeights
from targets.errors import UserError

MODEL = capture(Network(["residual", "inverted"], True, 0).eval(), (torch.zeros(1, 3, 8, 8),))


def context(model=MODEL):
    random = np.random.default_rng(0)
    inputs, labels = random.standard_normal((32, 3, 8, 8)).astype(np.float32), random.integers(0, 4, 32)
    split = Split(32, lambda rows: ((inputs[rows],), labels[rows]))
    return Context(Data("noise", split, split, split, "noise"), model, metric("accuracy"), device="cpu")


def weights(model):
    return {name: weight for name, weight in model.graph.named_parameters() if weight.ndim > 1}


@settings(max_examples=20, deadline=None)
@given(sparsity=st.floats(0, 0.99), scope=st.sampled_from(["global", "layer"]))
def test_the_share_is_met_and_larger_weights_stay(sparsity, scope):
    before = digest(MODEL)
    sparse = PruneWeights(sparsity=sparsity, scope=scope)(MODEL, context())
    assert digest(MODEL) == before
    pairs = [(MODEL.graph.get_parameter(name), weight) for name, weight in weights(sparse).items()]
    groups = [pairs] if scope == "layer" else [[(torch.cat([a.flatten() for a, _ in pairs]), torch.cat([b.flatten() for _, b in pairs]))]]
    for old, new in [pair for group in groups for pair in group]:
        gone = new == 0
        assert int(gone.sum()) == round(gone.numel() * sparsity)
        assert torch.equal(new[~gone], old[~gone])
        assert not gone.any() or gone.all() or old[gone].abs().max() <= old[~gone].abs().min()


def test_lines_and_details_count_zeros():
    step = PruneWeights(sparsity=0.25)(MODEL, context()).history[-1]
    assert step.details["sparsity"] == pytest.approx(0.25, abs=1e-3)
    assert sum(step.details["zeros"].values()) == round(step.details["weights"] * 0.25)
    assert step.lines[0].startswith("body.0.0: ")


def test_layers_are_kept_by_pattern():
    sparse = PruneWeights(sparsity=0.5, keep=("head.*",))(MODEL, context())
    assert not (sparse.graph.get_parameter("head.0.weight") == 0).any()
    assert (sparse.graph.get_parameter("body.0.0.weight") == 0).any()


def test_training_afterwards_keeps_the_zeros():
    sparse = PruneWeights(sparsity=0.5)(MODEL, context())
    trained = Finetune(epochs=2, learning_rate=0.01)(sparse, context(sparse))
    for name, weight in weights(sparse).items():
        assert torch.equal(trained.graph.get_parameter(name) == 0, weight == 0)
        assert not torch.equal(trained.graph.get_parameter(name), weight)


@pytest.mark.parametrize(("options", "word"), [({"sparsity": 1.0}, "sparsity"), ({"scope": "glob"}, "did you mean 'global'")])
def test_impossible_options_are_refused(options, word):
    with pytest.raises(UserError, match=word):
        PruneWeights(**options)


def test_mistakes_met_on_the_network_are_told():
    with pytest.raises(UserError, match="'tail' matches no layer"):
        PruneWeights(keep=("tail",))(MODEL, context())
    plain = capture(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), (torch.zeros(1, 3, 8, 8),))
    with pytest.raises(UserError, match="no weights"):
        PruneWeights()(plain, context(plain))
    shared = capture(conv(3, 4), (torch.zeros(1, 3, 8, 8),))
    with pytest.raises(UserError, match="no weights"):
        PruneWeights(keep=("*",))(shared, context(shared))
