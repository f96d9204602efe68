"""Pruned networks against the same networks with the removed channels zeroed, over many architectures."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pruning_networks import BLOCKS, Network, conv, digest, settle
from torch import nn
from torch.nn import functional

from compress import cost
from compress.context import Context
from compress.data.base import Data, Split
from compress.metrics import metric
from compress.model import capture, first_output
from compress.passes.prune_channels import PruneChannels
from targets.errors import UserError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from masked import Masked

IMAGE = torch.zeros(1, 3, 8, 8)


pytestmark = pytest.mark.usefixtures("one_thread")


def context(model, samples=16):
    random = np.random.default_rng(0)
    inputs = random.standard_normal((samples, *model.example[0].shape[1:])).astype(np.float32)
    labels = random.integers(0, 4, samples)
    split = Split(samples, lambda rows: ((inputs[rows],), labels[rows]))
    return Context(Data("noise", split, split, split, "noise"), model, metric("accuracy"), device="cpu")


def check(model, pruned, tolerance=1e-4):
    """The pruned network answers as the zeroed one does, on inputs that pruning hasn't seen."""
    plan = pruned.history[-1].details["plan"]
    inputs = torch.randn(5, *model.example[0].shape[1:], generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = first_output(Masked(model.graph, plan).run(inputs))
    given = pruned(inputs)
    assert given.shape == expected.shape
    torch.testing.assert_close(given, expected, rtol=0, atol=tolerance * max(1e-3, float(expected.abs().max())))
    return plan


def prune(module, example=IMAGE, **options):
    model = capture(module.eval(), (example,))
    pruned = PruneChannels(correct=False, **options)(model, context(model))
    check(model, pruned)
    return model, pruned


@settings(max_examples=12, phases=(Phase.explicit, Phase.reuse, Phase.generate), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    blocks=st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=4),
    flat=st.booleans(),
    options=st.builds(
        dict, ratio=st.sampled_from([0.2, 0.5, 0.7]), scope=st.sampled_from(["uniform", "global"]), multiple_of=st.sampled_from([1, 2, 4])
    ),
    seed=st.integers(0, 99),
)
def test_a_pruned_network_is_the_masked_network(blocks, flat, options, seed):
    prune(Network(blocks, flat, seed), **options)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_every_block_loses_channels(block, flat):
    model, pruned = prune(Network([block, "plain"], flat, 0), ratio=0.5)
    assert cost.parameters(pruned) < 0.55 * cost.parameters(model)
    assert cost.macs(pruned) < 0.5 * cost.macs(model)
    step = pruned.history[-1]
    assert not [line for line in step.lines if "kept" in line]
    assert step.details["after"] == {"parameters": cost.parameters(pruned), "macs": cost.macs(pruned)}


def test_inputs_outputs_and_the_model_itself_stay():
    model = capture(Network(["residual", "dense"], True, 0).eval(), (IMAGE,))
    before = digest(model)
    pruned = PruneChannels()(model, context(model))
    assert digest(model) == before
    assert pruned(torch.zeros(3, 3, 8, 8)).shape == (3, 4)
    assert len(pruned.history) == 1


def test_lines_say_what_each_layer_lost():
    _, pruned = prune(nn.Sequential(conv(3, 16), conv(16, 12), nn.Flatten(), nn.Linear(12 * 64, 4)), ratio=0.25)
    assert pruned.history[-1].lines[:2] == ("0.0: 16 -> 12 channels", "1.0: 12 -> 9 channels")


def test_a_fixed_batch_is_pruned_too():
    class Fixed(Network):
        def forward(self, x):
            return super().forward(x.reshape(1, 3, 8, 8))

    model = capture(Fixed(["residual"], True, 0).eval(), (IMAGE,))
    assert not model.free_batch
    pruned = PruneChannels(correct=False)(model, context(model))
    inputs = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        expected = first_output(Masked(model.graph, pruned.history[-1].details["plan"]).run(inputs))
    torch.testing.assert_close(pruned(inputs), expected, rtol=1e-4, atol=1e-4)


def test_an_unknown_operator_keeps_what_reaches_it_and_says_so():
    class Sorted(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 3)

        def forward(self, x):
            return self.head(torch.relu(self.second(torch.sort(self.first(x), 1).values))).mean((2, 3))

    _, pruned = prune(Sorted())
    assert pruned.graph.get_parameter("first.weight").shape == (8, 3, 3, 3)
    assert pruned.graph.get_parameter("second.weight").shape == (4, 8, 3, 3)
    assert any("sort" in line and "kept" in line for line in pruned.history[-1].lines)


def test_softmax_over_channels_keeps_them_and_layer_norm_counts_what_is_left():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.norm = nn.Linear(5, 8), nn.LayerNorm(8)
            self.wide, self.narrow, self.head = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 6)

        def forward(self, x):
            x = self.embed(x)
            return self.head(x + self.narrow(functional.gelu(self.wide(self.norm(x))))).softmax(-1).mean(1)

    _, pruned = prune(settle(Mixed()), torch.zeros(1, 6, 5))
    shapes = {name: tuple(weight.shape) for name, weight in pruned.graph.named_parameters() if name.endswith("weight")}
    assert shapes == {"embed.weight": (4, 5), "norm.weight": (4,), "wide.weight": (8, 4), "narrow.weight": (4, 8), "head.weight": (6, 4)}


@pytest.mark.parametrize(("groups", "left"), [(4, 2), (2, 2)])
def test_small_groups_of_a_norm_go_whole_and_large_ones_shrink_alike(groups, left):
    module = nn.Sequential(nn.Conv2d(3, 12, 1), nn.GroupNorm(groups, 12), nn.ReLU(), nn.Conv2d(12, 4, 1))
    _, pruned = prune(settle(module))
    norm = next(node for node in pruned.graph.graph.nodes if "group_norm" in node.name)
    assert norm.args[1] == left
    assert pruned.graph.get_parameter("0.weight").shape[0] == 6


@pytest.mark.parametrize("function", [torch.relu, torch.sigmoid])
def test_a_mean_over_channels_lets_them_go_where_they_would_be_zero(function):
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1)

        def forward(self, x):
            x = function(self.first(x))
            return (self.head(x) * x.mean(1, keepdim=True)).mean((2, 3))

    if function is torch.relu:
        _, pruned = prune(Mean())
        assert pruned.graph.get_parameter("first.weight").shape[0] == 4
    else:
        with pytest.raises(UserError, match="a reduction is taken over them"):
            prune(Mean())


def test_attention_loses_heads():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.MultiheadAttention(12, 4, batch_first=True), nn.Linear(12, 4)

        def forward(self, x):
            return self.head(x + self.inner(x, x, x, need_weights=False)[0])

    _, pruned = prune(Attention(), torch.zeros(1, 6, 12))
    assert pruned.graph.get_parameter("inner.in_proj_weight").shape == (18, 12)
    assert pruned.graph.get_parameter("inner.out_proj.weight").shape == (12, 6)


def test_shared_weights_are_cut_once():
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.twice, self.head = conv(3, 8), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 4)

        def forward(self, x):
            return self.head((self.twice(torch.relu(self.twice(self.stem(x)))) - self.stem(x.flip(3))).mean((2, 3)))

    _, pruned = prune(settle(Siamese()))
    assert pruned.graph.get_parameter("twice.weight").shape == (4, 4, 3, 3)


def test_multiple_of_and_keep():
    module = nn.Sequential(conv(3, 20), conv(20, 24), conv(24, 30), nn.Flatten(), nn.Linear(30 * 64, 4))
    _, pruned = prune(module, ratio=0.4, multiple_of=8, keep=("2.*",))
    shapes = [tuple(pruned.graph.get_parameter(f"{i}.0.weight").shape[:2]) for i in range(3)]
    assert shapes == [(16, 3), (16, 16), (30, 16)]


@pytest.mark.parametrize("scope", ["uniform", "global"])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_macs_budget_is_met_and_used(scope, share):
    model, pruned = prune(Network(["residual", "inverted", "dense"], False, 0), macs=share, scope=scope)
    assert 0.6 * share < cost.macs(pruned) / cost.macs(model) <= share


@pytest.mark.parametrize("criterion", ["l1", "l2", "bn_scale", "taylor", "fisher", "reconstruction"])
def test_channels_that_do_nothing_go_first(criterion):
    torch.manual_seed(0)
    module = nn.Sequential(conv(3, 8), conv(8, 6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    dead = [1, 4, 6]
    with torch.no_grad():
        for tensor in (module[0][0].weight, module[0][0].bias, module[0][1].weight, module[0][1].bias):
            tensor[dead] = 0
    _, pruned = prune(module, ratio=3 / 8, criterion=criterion)
    assert pruned.history[-1].details["plan"]["0.0.weight"]["0"] == [0, 2, 3, 5, 7]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"ratio": 1.0}, "ratio"),
        ({"macs": 0.0}, "macs"),
        ({"criterion": "l3"}, "possible: bn_scale, fisher, l1, l2, reconstruction, taylor"),
        ({"scope": "globl"}, "did you mean 'global'"),
        ({"multiple_of": 0}, "multiple_of"),
    ],
)
def test_impossible_options_are_refused(options, word):
    with pytest.raises(UserError, match=word):
        PruneChannels(**options)


def test_scales_of_batchnorms_that_are_not_there_are_told():
    model = capture(
        nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 6, 1), nn.Conv2d(6, 4, 1)).eval(), (torch.zeros(1, 3, 8, 8),)
    )
    lines = PruneChannels(criterion="bn_scale")(model, context(model)).history[-1].lines
    assert "bn_scale: 2 has no BatchNorm; l1 decides there" in lines


def test_a_multiple_that_no_group_has_is_refused():
    model = capture(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 6, 1)).eval(), (torch.zeros(1, 3, 8, 8),))
    with pytest.raises(UserError, match=r"multiple_of: 16 leaves nothing.*more than 8 channels"):
        PruneChannels(multiple_of=16)(model, context(model))


def test_a_pattern_that_matches_nothing_and_a_network_without_channels_are_told():
    model = capture(nn.Sequential(conv(3, 8), nn.Conv2d(8, 4, 1)), (IMAGE,))
    with pytest.raises(UserError, match=r"keep: 'stem\.\*' matches no layer"):
        PruneChannels(keep=("stem.*",))(model, context(model))
    single = capture(nn.Conv2d(3, 4, 1), (IMAGE,))
    with pytest.raises(UserError, match="no channels to remove"):
        PruneChannels()(single, context(single))
