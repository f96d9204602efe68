"""Layers as chains of smaller ones: exact at full rank, within the budget, nearer with data than without, and the files give the same."""

import re

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import compress
from compress import cost
from compress.context import Context
from compress.data.base import Data, Split
from compress.factorization import layers, methods, moments, surgery
from compress.factorization.methods import Task
from compress.metrics import metric
from compress.model import capture
from compress.passes.low_rank import LowRank
from targets.base import RunOptions
from targets.errors import UserError


class Network(nn.Module):
    """A convolution of each kind that is factored, one that isn't, and linear layers."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.grouped = nn.Conv2d(16, 16, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.point = nn.Conv2d(16, 24, 1)
        self.down = nn.Conv2d(24, 16, 3, stride=2, padding="valid", dilation=2)
        self.hidden, self.head = nn.Linear(16, 32), nn.Linear(32, 4)

    def forward(self, x):
        x = self.stem(x)
        x = torch.relu(x + self.depthwise(torch.relu(self.grouped(x))))
        x = torch.relu(self.down(torch.relu(self.point(x)))).mean((2, 3))
        return self.head(torch.relu(self.hidden(x)))


def data(shape, samples=96):
    """Smooth noise of a few random directions, so that channels depend on each other."""
    directions = np.random.default_rng(0).standard_normal((6, *shape))
    weights = np.random.default_rng(1).standard_normal((samples, 6))
    inputs = (np.einsum("nd,d...->n...", weights, directions) / 2).astype(np.float32)
    split = Split(samples, lambda rows: ((inputs[rows],), np.zeros(len(rows), np.int64)))
    return Data("noise", split, split, split, "noise")


def context(model):
    return Context(data(model.example[0].shape[1:]), model, metric("accuracy"), device="cpu")


@pytest.fixture(scope="module")
def model():
    return capture(Network().eval(), (torch.zeros(1, 3, 12, 12),))


def factored(model, **options):
    return LowRank(**options)(model, context(model))


def distance(model, other, samples=32):
    inputs = torch.from_numpy(next(data(model.example[0].shape[1:]).evaluation.batches(samples))[0][0])
    wanted = model(inputs)
    return float((other(inputs) - wanted).square().mean() / wanted.square().mean())


def full_ranks(layer, method):
    outputs, columns = layer.weights.shape[1:]
    rank = min(outputs, columns)
    return {"svd": (rank,), "tucker": (layer.inputs, rank), "separable": (methods.most_filters(layer),)}[method]


LAYERS = [
    lambda groups, stride, bias: nn.Conv2d(8, 12, 3, stride, 1, groups=groups, bias=bias),
    lambda groups, stride, bias: nn.Conv2d(8, 4, (3, 2), stride, "valid", dilation=(1, 2), groups=groups, bias=bias),
    lambda groups, stride, bias: nn.Conv1d(8, 12, 5, stride, 2, groups=groups, bias=bias),
    lambda groups, stride, bias: nn.Conv2d(8, 8, 3, padding="same", groups=groups, bias=bias),  # noqa: ARG005  one signature
    lambda groups, stride, bias: nn.Conv2d(8, 12, 1, stride, groups=groups, bias=bias),
    lambda groups, stride, bias: nn.Linear(8, 6, bias=bias),  # noqa: ARG005
]


@settings(max_examples=15)
@given(
    make=st.sampled_from(LAYERS),
    method=st.sampled_from(["svd", "tucker", "separable"]),
    groups=st.sampled_from([1, 2]),
    stride=st.sampled_from([1, 2]),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
def test_factors_of_full_rank_multiply_back_to_the_layer(make, method, groups, stride, bias, seed):
    torch.manual_seed(seed)
    module = make(groups, stride, bias)
    example = torch.randn(2, 8, *{nn.Linear: (), nn.Conv1d: (9,)}.get(type(module), (9, 9)))
    model = capture(nn.Sequential(module).eval(), (example,))
    (layer,), whole = layers.find(model)
    assert not whole
    assume(method != "separable" or layer.groups == 1)  # in groups it has one filter a channel, which isn't all
    size = layer.weights.shape[2]
    mixed = torch.randn(layer.groups, size, size, dtype=torch.float64)
    gains = torch.randn(layer.groups, layer.outputs, layer.outputs, dtype=torch.float64)
    mean = torch.randn(layer.groups, size, dtype=torch.float64)
    seen = moments.Statistics(mixed @ mixed.transpose(1, 2), mean, gains @ gains.transpose(1, 2))
    task = Task(layer, seen)
    method = method if layer.kernel > 1 else "svd"
    chosen = methods.of_ranks(task, method, full_ranks(layer, method))
    assert chosen.error <= 1e-6 * task.energy
    chain = methods.factors(task, chosen)
    torch.testing.assert_close(methods.whole_weights(layer, chain), layer.weights, rtol=0, atol=1e-4 * float(layer.weights.abs().max()))
    graph, nodes = surgery.replace(model, {layer.name: (task, chain)})
    torch.testing.assert_close(graph(example), model(example), rtol=0, atol=1e-3)
    assert layer.node in nodes.values()
    assert [name for name, _ in graph.named_parameters() if name.endswith("bias")] == [f"0.{len(chain) - 1}.bias"]
    changed = capture(graph, (example,))
    assert cost.macs(changed) == chosen.macs


@pytest.mark.parametrize("method", ["auto", "svd", "tucker", "separable"])
def test_macs_are_what_is_asked_for_and_every_layer_has_a_line(model, method):
    made = factored(model, macs=0.7, method=method)
    step = made.history[-1]
    assert 0.4 * cost.macs(model) < cost.macs(made) <= 0.7 * cost.macs(model)
    assert step.details["after"] == {"macs": cost.macs(made), "parameters": cost.parameters(made)}
    names = ("stem.0", "grouped", "depthwise", "point", "down", "hidden", "head")
    assert all(sum(line.startswith(f"{name}: ") for line in step.lines) == 1 for name in names)
    assert "depthwise: stays whole, it is depthwise" in step.lines
    for name, chosen in step.details["factors"].items():
        assert chosen["method"] == ("svd" if name in {"point", "hidden", "head"} else method) or method == "auto"
        assert f"{name}.{2 if chosen['method'] == 'tucker' else 1}.bias" in made.graph.state_dict()
        assert f"{name}.weight" not in made.graph.state_dict()


def test_each_of_data_and_correction_brings_outputs_nearer(model):
    plain, weighed, corrected = (
        distance(model, factored(model, macs=0.5, weighted=weighted, correct=correct))
        for weighted, correct in ((False, False), (True, False), (True, True))
    )
    assert corrected < weighed < plain / 2


def test_energy_is_kept(model):
    errors = [distance(model, factored(model, energy=energy, correct=False)) for energy in (0.8, 0.95, 0.999)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 2
    lines = factored(model, energy=0.96, correct=False).history[-1].lines
    shares = [float(line.rpartition("error ")[2].rstrip("%")) for line in lines if "error" in line]
    assert shares
    assert max(shares) <= 20


def test_given_ranks_hold_and_other_layers_stay_whole(model):
    made = factored(model, ranks={"stem*": (2, 5), "hid*": 3, "head": 4})
    shapes = {name: tuple(tensor.shape) for name, tensor in made.graph.named_parameters()}
    assert [shapes[f"stem.0.{number}.weight"] for number in range(3)] == [(2, 3, 1, 1), (5, 2, 3, 3), (16, 5, 1, 1)]
    assert [shapes[f"hidden.{number}.weight"] for number in range(2)] == [(3, 16), (32, 3)]
    assert made.history[-1].details["factors"].keys() == {"stem.0", "hidden"}
    assert any(line.startswith("head: stays whole") for line in made.history[-1].lines)  # 4 of 4 channels cost more
    both = factored(model, ranks={"hidden": 3}, macs=0.5).history[-1].details["factors"]
    assert both["hidden"]["ranks"] == [3]
    assert len(both) > 1


def test_ranks_are_multiples_and_kept_layers_stay_whole(model):
    layers_chosen = factored(model, macs=0.6, method="tucker", multiple_of=4, keep=("p*",)).history[-1].details["factors"]
    assert layers_chosen
    assert all(rank % 4 == 0 for chosen in layers_chosen.values() for rank in chosen["ranks"])
    assert "point" not in layers_chosen


def test_what_shares_its_weight_is_named():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.twice, self.tied, self.head = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 8), nn.Linear(8, 8)
            self.tied.weight = self.head.weight

        def forward(self, x):
            return self.head(self.tied(self.twice(torch.relu(self.twice(x))).mean((2, 3))))

    model = capture(Shared().eval(), (torch.zeros(1, 8, 6, 6),))
    lines = factored(model, macs=0.5).history[-1].lines
    assert "twice: stays whole, its weight is used 2 times, by twice" in lines
    assert "head: stays whole, its weight is used 2 times, by head, tied" in lines
    with pytest.raises(UserError, match="ranks: twice can't be factored: its weight is used 2 times, by twice; leave 'twice' out"):
        factored(model, ranks={"twice": 2})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"macs": 1.5}, "macs must be a share"),
        ({"macs": 0.5, "energy": 0.9}, "leave one of them out"),
        ({"method": "tuker"}, "did you mean 'tucker'"),
        ({"multiple_of": 0}, "multiple_of must be at least 1"),
        ({"ranks": {"x": 0}}, "ranks: that of 'x' must be at least 1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        LowRank(**options)


def test_patterns_that_match_nothing_and_missing_data_are_refused(model):
    with pytest.raises(UserError, match="keep: 'hed' matches no layer; did you mean 'head'"):
        factored(model, keep=("hed",))
    none = Split(0, lambda rows: ((np.zeros((len(rows), 3, 12, 12), np.float32),), np.zeros(len(rows), np.int64)))
    empty = Context(Data("none", none, none, none, "none"), model, metric("accuracy"), device="cpu")
    with pytest.raises(UserError, match="no calibration samples"):
        LowRank()(model, empty)
    made = LowRank(macs=0.6, weighted=False, correct=False)(model, empty)
    assert cost.macs(made) <= 0.6 * cost.macs(model)


def test_weights_of_one_module_have_factors_of_their_own_and_in_place_operators_are_no_trap():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.Parameter(torch.randn(16, 8, 3, 3) / 8), nn.Parameter(torch.randn(8, 16, 3, 3) / 8)

        def forward(self, x):
            return nn.functional.conv2d(nn.functional.conv2d(x, self.first).relu_(), self.second).mean((2, 3))

    model = capture(Odd().eval(), (torch.zeros(1, 8, 8, 8),))
    made = factored(model, macs=0.6, method="svd")
    assert {name.partition(".")[0] for name, _ in made.graph.named_parameters()} == {"first", "second"}
    assert distance(model, made) < 0.2


@pytest.mark.parametrize(
    ("method", "form", "integers"),
    [("separable", "tflite", False), ("tucker", "tflite", True), ("separable", "tflite", True), ("separable", "onnx", True)],
)
def test_files_give_what_the_torch_graph_gives(model, tmp_path, method, form, integers):
    made = factored(model, macs=0.6, method=method, correct=False)
    samples = data((3, 12, 12))
    if integers:
        made = compress.apply(made, samples, "quantize")
    artifact = compress.export(made, form, tmp_path)
    row = compress.profile(artifact, "host", samples, options=RunOptions(warmup=0, repetitions=1, samples=16))
    (inputs,), _ = next(samples.evaluation.batches(16))
    wanted = made(torch.from_numpy(inputs)).numpy()
    given = artifact.outputs[0].decode(row.measurement.outputs[0])[:16].reshape(wanted.shape)
    step = artifact.outputs[0].scale or 1e-4 * np.abs(wanted).max()
    assert np.abs(given - wanted).max() <= 1.01 * step


def test_several_filters_of_a_channel_are_one_of_each_copy_and_prune_as_one(model):
    made = factored(model, ranks={"stem*": 3, "down*": 2, "grouped": 2}, method="separable")
    assert [each["ranks"] for each in made.history[-1].details["factors"].values()] == [[3], [1], [2]]
    weights = made.graph.state_dict()
    assert weights["stem.0.0.weight"].shape == (9, 1, 3, 3)
    assert weights["down.0.weight"].shape[1] == 1
    assert weights["down.1.weight"].shape == (16, 2 * 24, 1, 1)
    pruned = compress.apply(made, data((3, 12, 12)), {"prune_channels": {"macs": 0.6}})
    assert cost.macs(pruned) <= 0.6 * cost.macs(made)
    left = pruned.graph.state_dict()["down.0.weight"].shape[0]
    assert left < 2 * 24
    assert left == 2 * pruned.graph.state_dict()["point.weight"].shape[0]


def test_what_costs_nothing_is_taken_first_and_no_more_than_is_asked_for():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    with torch.no_grad():
        module[0].weight.copy_(torch.randn(32, 4) @ torch.randn(4, 32) / 8)
    model = capture(module.eval(), (torch.zeros(1, 32),))
    made = factored(model, macs=0.65, correct=False)
    assert made.history[-1].details["factors"] == {"0": {"method": "svd", "ranks": [4]}}
    assert distance(model, made) < 1e-6


def test_only_what_is_faster_on_the_target_is_taken(model):
    made = factored(model, macs=0.7, keep=("grouped",), correct=False, target="nucleo-l4r5zi")
    timed = [re.search(r"MACs, ([\d.]+) -> ([\d.]+) ms", line) for line in made.history[-1].lines]
    pairs = [(float(each[1]), float(each[2])) for each in timed if each]
    assert len(pairs) == len(made.history[-1].details["factors"]) > 0
    assert all(after < before for before, after in pairs)
    with pytest.raises(UserError, match="nucleo-l4r5zy"):
        LowRank(target="nucleo-l4r5zy")
