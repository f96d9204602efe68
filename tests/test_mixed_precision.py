"""Mixed precision: budgets are kept by the network that comes out, with layers that bear few bits chosen by measuring."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from quantized_networks import Network, context_of, model_of, samples, split_of
from torch import nn

import compress
from compress.lowering import tflite
from compress.passes.mixed_precision import MixedPrecision
from compress.progress import Silent
from compress.quantization import allocation, mixing, timing
from compress.quantization.mixing import Budget
from compress.quantization.overrides import Override
from compress.quantization.sensitivity import Quantization, prepare
from compress.quantization.units import Choice
from targets.base import Layer, RunOptions
from targets.errors import UserError
from targets.formats import tflite_objects

SHAPE = (3, 8, 8)
SCHEMES = ("w4a8", "int8", "int16x8", "float")


def network():
    """A convolution whose output channels differ so much within themselves that 4 bits don't do, and easier ones."""

    def forward(x, first, second, third, linear):
        x = torch.relu(first(x))
        return linear(torch.relu(third(x + torch.relu(second(x)))).mean((2, 3)))

    made = Network(forward, nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 16, 3), nn.Linear(16, 5))
    with torch.no_grad():
        made.layers[0].weight[:, 0, 0, 0] *= 8
        made.layers[3].weight *= 20
        made.layers[3].bias -= made(torch.from_numpy(samples(SHAPE, 48))).mean(0)
    return made


@pytest.fixture(scope="module")
def model():
    return model_of(network, SHAPE)


@pytest.fixture(scope="module")
def context(model):
    return context_of(model, samples(SHAPE, 48))


@pytest.fixture(scope="module")
def measured(model, context):
    trials = prepare(model, context, Quantization(), context.data.calibration)
    costs = mixing.byte_costs(trials, mixing.possible(trials, SCHEMES, ()), {})
    return trials, costs, mixing.losses(trials, costs, Silent())


numbers = st.integers(0, 40).map(float)
tables = st.lists(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=4), min_size=1, max_size=4)


def table(rows, column):
    return {f"layer{i}": {f"scheme{j}": pair[column] for j, pair in enumerate(row)} for i, row in enumerate(rows)}


@given(tables)
def test_no_choice_that_costs_as_little_loses_less(rows):
    losses, costs = table(rows, 0), table(rows, 1)
    every = [dict(zip(losses, chosen, strict=True)) for chosen in itertools.product(*(losses[layer] for layer in losses))]
    points = [(mixing.cost(chosen, costs), mixing.cost(chosen, losses)) for chosen in every]
    steps = allocation.steps(losses, costs)
    prices = [step.price for step in steps]
    assert prices == sorted(prices)
    chosen = allocation.best(losses, costs)
    assert mixing.cost(chosen, losses) == min(loss for _, loss in points)
    for step in steps:
        assert chosen[step.layer] == step.before
        before, chosen = mixing.cost(chosen, costs), allocation.after(chosen, [step])
        assert mixing.cost(chosen, costs) < before
    assert mixing.cost(chosen, costs) == min(cost for cost, _ in points)


@given(tables)
def test_every_stop_on_the_way_is_the_best_for_its_cost(rows):
    losses, costs = table(rows, 0), table(rows, 1)
    every = [dict(zip(losses, chosen, strict=True)) for chosen in itertools.product(*(losses[layer] for layer in losses))]
    steps = allocation.steps(losses, costs)
    for count in range(len(steps) + 1):
        if 0 < count < len(steps) and steps[count - 1].price == steps[count].price:
            continue  # in the middle of steps of one price there may be better ones
        stop = allocation.after(allocation.best(losses, costs), steps[:count])
        cost, loss = mixing.cost(stop, costs), mixing.cost(stop, losses)
        assert all(mixing.cost(other, losses) >= loss for other in every if mixing.cost(other, costs) <= cost)


@given(st.floats(0.0, 1.1))
@settings(max_examples=12)
def test_a_size_is_kept_or_refused(measured, share):
    trials, costs, losses = measured
    spent = {name: {scheme: float(trials.units[name].bytes(Choice(scheme))) for scheme in row} for name, row in costs.items()}
    least, most = (sum(pick(row.values()) for row in spent.values()) for pick in (min, max))
    limit = share * most
    budget = Budget("size", costs, spent, limit)
    if limit < least:
        with pytest.raises(UserError, match="size can't be kept"):
            mixing.mix(trials, losses, budget, Silent())
        return
    mixture = mixing.mix(trials, losses, budget, Silent())
    choices = {name: Choice(scheme) for name, scheme in mixture.schemes.items()}
    assert trials.bytes(choices) <= limit
    assert mixture.quality == trials.judge(choices)


@given(st.floats(0.7, 1.0))
@settings(max_examples=8)
def test_a_quality_is_kept(measured, agreement):
    trials, costs, losses = measured
    mixture = mixing.mix(trials, losses, Budget("agreement", costs, keeps=lambda quality: quality.agreement >= agreement), Silent())
    assert trials.judge({name: Choice(scheme) for name, scheme in mixture.schemes.items()}).agreement >= agreement


def test_more_room_is_never_less_accurate(measured):
    trials, costs, losses = measured
    spent = {name: {scheme: float(trials.units[name].bytes(Choice(scheme))) for scheme in row} for name, row in costs.items()}
    found = [
        mixing.mix(trials, losses, Budget("size", costs, spent, limit), Silent()).quality.divergence for limit in (1600, 2600, math.inf)
    ]
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0.0


def test_a_file_of_the_size_comes_out_and_the_hard_layer_keeps_its_bits(model, context, tmp_path):
    quantized = MixedPrecision(size_kb=1.5, schemes=("w4a8", "int8"))(model, context)
    step = quantized.history[-1]
    layers = step.details["layers"]
    assert layers["layers.0"] == "int8"
    assert "w4a8" in layers.values()
    weights = {name: value for name, value in quantized.graph.state_dict().items() if name.endswith(".weight")}
    bits = {name: 4 if layers[name.removesuffix(".weight")] == "w4a8" else 8 for name in weights}
    assert all(weights[name].abs().max() <= 7 for name in weights if bits[name] == 4)
    assert sum(value.numel() * bits[name] / 8 for name, value in weights.items()) <= 1.5 * 1024
    assert any(line.startswith("layers.0: int8") for line in step.lines)
    artifact = compress.export(quantized, "tflite", tmp_path)
    row = compress.profile(artifact, "host", context.data, options=RunOptions(0, 1))
    inputs = torch.from_numpy(samples(SHAPE, 48))
    assert (torch.from_numpy(row.evaluation.outputs).argmax(1) == quantized(inputs).argmax(1)).double().mean() > 0.97


def test_nothing_is_mixed_that_an_export_can_not_hold(model, context):
    with pytest.raises(UserError, match=r"with 'export: \[c\]' no layer has another scheme"):
        MixedPrecision(schemes=("int8", "float"))(model, replace(context, exports=("c",)))

    def pooled(x, first, second, last):
        return last(F.max_pool2d(second(first(x)), 3, 2, 1, ceil_mode=True).mean((2, 3)))

    pair = model_of(lambda: Network(pooled, nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 3)), SHAPE)
    mixed = MixedPrecision(size_kb=1, schemes=("w4a8", "int16x8"))(pair, replace(context_of(pair, samples(SHAPE)), exports=("tflite",)))
    layers = mixed.history[-1].details["layers"]
    assert {layers[name] for name in ("layers.0", "layers.1")} == {"int16x8"}
    assert layers["max_pool2d"] == "int8", "TFLite has no such pool of 16-bit integers"


def test_layers_with_an_override_are_left_alone(model, context):
    rule = Override(match="layers.2", scheme="float")
    layers = MixedPrecision(agreement=0.5, overrides=(rule,))(model, context).history[-1].details["layers"]
    assert layers["layers.2"] == "float"
    assert layers["layers.1"] == "w4a8"


def test_labels_decide_where_the_metric_is_the_budget(model):
    inputs = samples(SHAPE, 48)
    context = context_of(model, inputs)
    labelled = split_of(inputs, model(torch.from_numpy(inputs)).argmax(1).numpy())
    context = replace(context, data=replace(context.data, calibration=labelled))
    quantized = MixedPrecision(accuracy_drop=0.02)(model, context)
    agreement = (quantized(torch.from_numpy(inputs)).argmax(1) == model(torch.from_numpy(inputs)).argmax(1)).double().mean()
    assert agreement >= 0.98


def test_a_latency_is_measured_on_the_target(model, context):
    roomy = MixedPrecision(latency_ms=1e6, schemes=("int8", "float"))(model, context).history[-1]
    assert set(roomy.details["layers"].values()) == {"float"}
    assert any("int8 everywhere" in line and "layers measured" in line for line in roomy.lines)
    with pytest.raises(UserError, match="latency_ms 1e-09 on host can't be kept"):
        MixedPrecision(latency_ms=1e-9, schemes=("int8", "float"))(model, context)


def test_a_layers_time_is_that_of_all_its_operators():
    costs = {"runtime": 9.0, "add": 1.0, "add_2": 2.0, "add_1": 4.0, "head": 1.0, "head_2": None}
    rows = [Layer(name, "ADD", latency_ms=cost) for name, cost in costs.items()]
    assert timing.by_layer(rows, ("add", "add_1", "head", "gone")) == {"add": 3.0, "add_1": 4.0}


def test_no_layers_second_operator_is_called_as_another_layer():
    chain = model_of(lambda: Network(lambda x: F.silu(F.silu(F.silu(x)))), (4,))
    file = tflite_objects.read(tflite.to_bytes(chain, channels_last=True))
    made = [tflite_objects.text(file.subgraphs[0].tensors[operator.outputs[0]].name) for operator in file.subgraphs[0].operators]
    kinds = dict(zip(made, tflite_objects.operator_names(file), strict=True))
    assert len(kinds) == 6
    assert (kinds["silu_1"], kinds["silu_2"]) == ("MUL", "MUL")
    assert not any(name.startswith("silu_2_") for name in made)


MISTAKES = [
    ({"size_kb": 10, "agreement": 0.9}, "one budget at a time"),
    ({"agreement": 99}, "agreement goes from 0 to 1"),
    ({"size_kb": -1}, "is no limit"),
    ({"schemes": ("int8", "int7")}, "did you mean 'int8'"),
    ({"schemes": ()}, "at least one"),
    ({"observer": "mimmax"}, "did you mean 'minmax'"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_impossible_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        MixedPrecision(**options)


def test_what_can_not_be_kept_is_told_with_what_comes_nearest(model, context):
    with pytest.raises(UserError, match=r"size_kb 0\.1 can't be kept: with the cheapest of 'schemes' in every layer it is 1\.\d"):
        MixedPrecision(size_kb=0.1)(model, context)
    with pytest.raises(UserError, match=r"latency_ms: no time on pixel-8 to go by: float left out: pixel-8: no time: no benchmark_model"):
        MixedPrecision(latency_ms=1, schemes=("float",), target="pixel-8")(model, context)


def test_a_quality_that_the_schemes_do_not_have_is_refused(measured):
    trials, costs, losses = measured
    with pytest.raises(UserError, match="most accurate of 'schemes' in every layer don't"):
        mixing.mix(trials, losses, Budget("agreement 2", costs, keeps=lambda _: False), Silent())
