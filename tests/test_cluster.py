"""Layers' weights share few values, the values learn, and quantization and training keep what is shared."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_networks import Network, conv, digest

import compress
from compress.clustering import codebook
from compress.clustering.history import clustered_weights
from compress.context import Context
from compress.data.base import Data, Split
from compress.metrics import metric
from compress.model import capture
from compress.passes.adaround import Adaround
from compress.passes.cluster import Cluster
from compress.passes.finetune import Finetune
from compress.passes.prune_weights import PruneWeights
from compress.passes.qat import Qat
from compress.passes.quantize import Quantize
from compress.report.rows import zipped
from targets.errors import UserError

MODEL = capture(Network(["residual", "inverted"], True, 0).eval(), (torch.zeros(1, 3, 8, 8),))


def context(model=MODEL):
    random = np.random.default_rng(0)
    inputs = random.standard_normal((64, 3, 8, 8)).astype(np.float32)
    labels = (inputs[:, 0].mean((1, 2)) > 0).astype(np.int64) + 2 * (inputs[:, 1].mean((1, 2)) > 0)
    split = Split(64, lambda rows: ((inputs[rows],), labels[rows]))
    return Context(Data("noise", split, split, split, "noise"), model, metric("accuracy"), device="cpu")


def weights(model):
    """Weights, with their channels' sizes taken out where values are shares of these."""
    state = model.graph.state_dict()
    return {name: state[name] / codebook.scales(state[name], axis) for name, axis in clustered_weights(model).items()}


def shared(weight):
    return int(codebook.members(weight, None).max()) + 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=9, max_size=60), st.integers(2, 8), st.sampled_from(["linear", "density"]))
def test_each_weight_has_the_nearest_value_and_zeros_stay(numbers, count, init):
    before = torch.tensor([*numbers, 1.0, 0.0])
    after = codebook.clustered(before, count, init)
    values = after.unique()
    assert len(values) <= count
    assert torch.equal(after[before == 0], torch.zeros(int((before == 0).sum())))
    others = before != 0
    best = (before[others][:, None] - values[values != 0][None]).abs().min(1).values
    away = (before - after)[others].abs()
    assert (away <= best + 1e-3 * before.abs().max()).all()


@pytest.mark.parametrize("init", ["linear", "density"])
def test_more_clusters_are_nearer(init):
    weight = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    errors = [float((codebook.clustered(weight, count, init) - weight).square().mean()) for count in (2, 4, 8, 16, 64)]
    assert errors == sorted(errors, reverse=True)
    assert errors[2] == pytest.approx(0.03454, rel=0.1)  # Lloyd and Max's quantizer of a normal distribution with 8 levels
    assert errors[3] == pytest.approx(0.009497, rel=0.25)


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_layers_share_values_and_say_how_many(granularity):
    before = digest(MODEL)
    made = Cluster(clusters=6, keep=("head.2",), granularity=granularity)(MODEL, context())
    assert digest(MODEL) == before
    assert "head.2.weight" not in weights(made)
    for name, weight in weights(made).items():
        assert shared(weight) <= 6
        assert any(line.startswith(f"{name.removesuffix('.weight')}: {weight.numel():,} weights share") for line in made.history[-1].lines)
    assert torch.equal(made.graph.get_parameter("head.2.weight"), MODEL.graph.get_parameter("head.2.weight"))


def test_pruned_weights_stay_zero_as_a_cluster():
    sparse = PruneWeights(sparsity=0.6)(MODEL, context())
    made = Cluster(clusters=5)(sparse, context())
    for name, weight in weights(made).items():
        assert torch.equal(weight == 0, sparse.graph.get_parameter(name) == 0)
        assert shared(weight) <= 5


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
@pytest.mark.parametrize("options", [{"optimizer": "sgd"}, {"ema": 0.5}, {}], ids=["sgd", "ema", "adamw"])
def test_training_moves_values_and_keeps_who_shares_them(options, granularity):
    made = Cluster(clusters=6, granularity=granularity)(MODEL, context())
    trained = Finetune(epochs=2, learning_rate=0.01, held_out=0.0, **options)(made, context(made))
    after = weights(trained)
    for name, before in weights(made).items():
        assert (after[name] - before).abs().max() > 1e-6
        assert torch.equal(codebook.members(after[name], None), codebook.members(before, None))
    free = Finetune(epochs=1, learning_rate=0.01, keep_clusters=False)(made, context(made))
    assert any(shared(weight) > 6 for weight in weights(free).values())


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_a_rehearsal_keeps_who_shares_values_too(granularity):
    made = Cluster(clusters=6, granularity=granularity)(MODEL, context())
    rehearsed = Finetune(epochs=2)(made, replace(context(made), rehearsal=True))
    after = weights(rehearsed)
    for name, before in weights(made).items():
        assert torch.equal(codebook.members(after[name], None), codebook.members(before, None))
        assert not torch.equal(after[name], before)


def test_values_are_trained_by_the_pass_itself():
    plain = Cluster(clusters=6)(MODEL, context())
    trained = Cluster(clusters=6, epochs=8, learning_rate=0.01)(MODEL, context())
    assert [step.name for step in trained.history] == ["cluster"]
    losses = trained.history[-1].details["losses"]
    assert losses[-1] < losses[0]
    after = weights(trained)
    for name, before in weights(plain).items():
        assert shared(after[name]) <= 6
        assert not torch.equal(after[name], before)


def test_integers_of_a_layer_have_no_more_values_than_its_codebook():
    made = Cluster(clusters=5)(MODEL, context())
    integers = Quantize()(made, context(made)).graph.state_dict()
    for name, before in weights(made).items():
        assert integers[name].dtype == torch.int8
        assert torch.equal(codebook.members(integers[name].float(), None), codebook.members(before, None))


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_training_with_integers_keeps_the_values_of_a_channel(granularity):
    made = Cluster(clusters=5, granularity=granularity)(MODEL, context())
    integers = Qat(epochs=1, teacher="none")(made, context(made)).graph.state_dict()
    for name, before in weights(made).items():
        for member, stored in zip(codebook.members(before, None), integers[name], strict=True):
            for value in member.unique():
                assert len(stored[member == value].unique()) == 1


def test_the_file_is_smaller_when_zipped(tmp_path):
    sizes = []
    for each in (MODEL, Cluster(clusters=8)(MODEL, context())):
        artifact = compress.export(Quantize()(each, context()), "tflite", tmp_path)
        sizes.append((artifact.bytes, zipped(artifact)))
    assert sizes[1][0] == pytest.approx(sizes[0][0], rel=0.01)
    assert sizes[0][1] - sizes[1][1] > 0.3 * sum(weight.numel() for weight in weights(each).values())


def test_adaround_would_tear_clusters_apart_and_is_refused():
    made = Cluster(clusters=5)(MODEL, context())
    with pytest.raises(UserError, match="undoes cluster; leave one of the two out"):
        Adaround()(Quantize()(made, context(made)), context(made))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"clusters": 2}, "from 3 to 256"),
        ({"init": "dense"}, "did you mean 'density'"),
        ({"epochs": -1}, "epochs"),
        ({"learning_rate": 0.0}, "rate"),
    ],
)
def test_impossible_options_are_refused(options, word):
    with pytest.raises(UserError, match=word):
        Cluster(**options)


def test_mistakes_met_on_the_network_are_told():
    with pytest.raises(UserError, match="'tail' matches no layer"):
        Cluster(keep=("tail",))(MODEL, context())
    small = capture(conv(3, 4), (torch.zeros(1, 3, 8, 8),))
    with pytest.raises(UserError, match="use fewer clusters"):
        Cluster(clusters=64)(small, context(small))
