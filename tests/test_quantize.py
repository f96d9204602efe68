import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from quantized_networks import Network, context_of, model_of, samples, split_of, trained
from torch import nn

from compress import store
from compress.data.base import Split
from compress.lowering import batchnorm
from compress.lowering.simplify import simplify
from compress.parity import compare
from compress.passes.quantize import Quantize
from compress.quantization.observation import counts
from compress.quantization.overrides import Override
from compress.quantization.ranges import BINS, OBSERVERS, Histogram
from targets.errors import UserError

SHAPE = (3, 8, 8)


class Classifier(nn.Module):
    """What quantization meets most: folded and plain convolutions, a residual sum, pooling, a linear layer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), trained(nn.BatchNorm2d(8)), nn.ReLU())
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        return self.head(torch.relu(x + self.body(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def model():
    return model_of(Classifier, SHAPE)


@pytest.fixture(scope="module")
def context(model):
    return context_of(model, samples(SHAPE, 64))


@pytest.fixture(scope="module")
def quantized(model, context):
    return Quantize()(model, context)


def test_weights_are_integers_with_a_symmetric_scale_for_each_output_channel(quantized):
    constants = quantized.graph.state_dict()
    weight, scale = constants["body.weight"], constants["body.weight_scale"]
    assert weight.dtype == torch.int8
    assert weight.abs().amax((1, 2, 3)).tolist() == [127] * 8
    assert scale.shape == (8,)
    assert constants["body.weight_zero_point"].count_nonzero() == 0


def test_a_bias_is_int32_at_the_scale_of_input_times_weights(quantized):
    constants = quantized.graph.state_dict()
    (convolution,) = [node for node in quantized.graph.graph.nodes if node.name == "conv2d_1"]
    input_scale = convolution.args[0].args[1]
    assert constants["body.bias"].dtype == torch.int32
    torch.testing.assert_close(constants["body.bias_scale"], constants["body.weight_scale"] * input_scale)


def test_nothing_is_left_that_the_quantized_network_does_not_read(quantized):
    read = {str(node.target) for node in quantized.graph.graph.nodes if node.op == "get_attr"}
    assert set(quantized.graph.state_dict()) == read


def test_the_step_says_what_each_layer_became(quantized):
    step = quantized.history[-1]
    assert quantized.stage == "quantized"
    assert step.details["layers"] == dict.fromkeys(step.details["layers"], "int8")
    assert {"stem.0", "body", "head"} <= set(step.details["layers"])
    assert step.details["calibration_samples"] == 64
    assert "folded 1 BatchNorm layers" in step.lines
    assert json.dumps(dataclasses.asdict(step))


def test_a_quantized_network_comes_back_from_disk_the_same(quantized, tmp_path):
    store.save(quantized, tmp_path / "kept")
    again = store.load(tmp_path / "kept")
    inputs = torch.from_numpy(samples(SHAPE, 5))
    assert torch.equal(again(inputs), quantized(inputs))
    assert torch.equal(again.reference(inputs), quantized.reference(inputs))


def test_a_quantized_network_keeps_the_float_one_that_it_stands_for(quantized, model):
    inputs = torch.from_numpy(samples(SHAPE, 5))
    torch.testing.assert_close(quantized.reference(inputs), model(inputs), rtol=1e-4, atol=1e-5)
    assert set(quantized.reference.graph.state_dict()) <= set(quantized.graph.state_dict())


@pytest.mark.parametrize("observer", sorted(OBSERVERS))
def test_every_observer_stays_near_the_float_network(observer, model, context):
    quantized = Quantize(observer=observer)(model, context)
    inputs = torch.from_numpy(samples(SHAPE, 64))
    assert compare(model(inputs).numpy(), quantized(inputs).numpy()).relative_error < 0.1


def test_float16_halves_weights_and_nothing_else(model, context):
    halved = Quantize(scheme="float16")(model, context)
    constants = halved.graph.state_dict()
    assert {name: value.dtype for name, value in constants.items() if value.dim() > 1} == dict.fromkeys(
        ["stem.0.weight", "body.weight", "head.weight"], torch.float16
    )
    inputs = torch.from_numpy(samples(SHAPE, 64))
    assert compare(model(inputs).numpy(), halved(inputs).numpy()).relative_error < 1e-3


def test_float16_refuses_a_weight_beyond_its_range():
    model = model_of(lambda: nn.Sequential(nn.Linear(4, 2)), (4,))
    model.graph.get_parameter("0.weight").data[0, 0] = 1e5
    with pytest.raises(UserError, match=r"'0\.weight' holds 100000, beyond float16"):
        Quantize(scheme="float16")(model, context_of(model, samples((4,))))


def test_the_last_override_that_fits_wins(model, context):
    rules = (Override(match=".*", scheme="float"), Override(operator="conv2d", scheme="int8"), Override(match="stem.*", scheme="float"))
    step = Quantize(overrides=rules)(model, context).history[-1]
    layers = step.details["layers"]
    assert (layers["stem.0"], layers["body"], layers["head"]) == ("float", "int8", "float")
    assert any(line.startswith("left in float by overrides: stem.0") for line in step.lines)


@pytest.mark.parametrize(("operator", "stays"), [("relu", "int8"), ("mean", "float")])
def test_an_activation_goes_with_the_layer_that_computes_it(operator, stays, model, context):
    rules = (Override(match="stem.0", scheme="float"), Override(operator=operator, scheme="int8"))
    layers = Quantize(overrides=rules)(model, context).history[-1].details["layers"]
    assert (layers["stem.0"], layers["stem.2"]) == ("float", stays)


def test_what_only_moves_numbers_goes_with_those_who_made_them():
    def forward(x, first, second):
        left, right = F.max_pool2d(first(x), 2).split(2, 1)
        return second(torch.cat([right, left], 1).flatten(1))

    model = model_of(lambda: Network(forward, nn.Conv2d(3, 4, 1), nn.Linear(64, 3)), SHAPE)
    rules = (Override(match="layers.0", scheme="int16x8"), Override(operator="flatten", scheme="int8"))
    quantized = Quantize(overrides=rules)(model, context_of(model, samples(SHAPE)))
    layers = quantized.history[-1].details["layers"]
    assert {layers[name] for name in ("layers.0", "max_pool2d", "split")} == {"int16x8"}
    assert {layers[name] for name in ("cat", "flatten", "layers.1")} == {"int8"}, "16-bit integers can't be joined"


@pytest.mark.parametrize(("scheme", "limit"), [("int16x8", 0.02), ("w4a8", 0.3)])
def test_other_schemes_round_as_finely_as_their_bits_allow(scheme, limit, model, context):
    quantized = Quantize(scheme=scheme)(model, context)
    inputs = torch.from_numpy(samples(SHAPE, 64))
    assert 0 < compare(model(inputs).numpy(), quantized(inputs).numpy()).relative_error < limit


def test_overrides_mix_schemes(model, context):
    rules = (Override(match="body", scheme="int16x8"), Override(match="head", scheme="w4a8"))
    quantized = Quantize(overrides=rules)(model, context)
    constants = quantized.graph.state_dict()
    assert constants["head.weight"].abs().max() == 7
    kinds = {node.args[5] for node in quantized.graph.graph.nodes if node.name.startswith("quantize_per_tensor")}
    assert kinds == {torch.int8, torch.int16}
    inputs = torch.from_numpy(samples(SHAPE, 64))
    assert compare(model(inputs).numpy(), quantized(inputs).numpy()).relative_error < 0.2


def test_layers_left_in_float_compute_in_float(model, context):
    everything = Quantize(overrides=(Override(match=".*", scheme="float"),))(model, context)
    inputs = torch.from_numpy(samples(SHAPE, 8))
    torch.testing.assert_close(everything(inputs), model(inputs))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"match": "haed", "scheme": "float"}, r"match: 'haed' matches no layer; did you mean 'head'\?"),
        ({"operator": "conv3d", "scheme": "float"}, r"operator: conv3d matches no layer; did you mean 'conv2d'\?"),
    ],
)
def test_an_override_that_matches_nothing_is_an_error(rule, message, model, context):
    with pytest.raises(UserError, match=message):
        Quantize(overrides=(Override(**rule),))(model, context)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"scheme": "float"}, "needs 'match'"),
        ({"match": "(", "scheme": "float"}, "no regular expression"),
        ({"match": "x", "scheme": "int9"}, r"did you mean 'int8'\?"),
        ({"match": "x", "weight_granularity": "tensors"}, r"did you mean 'tensor'\?"),
        ({"match": "x"}, "needs 'scheme', 'weight_granularity' or both"),
    ],
)
def test_an_impossible_override_is_refused_when_it_is_built(rule, message):
    with pytest.raises(UserError, match=message):
        Override(**rule)


def test_impossible_options_are_refused_when_they_are_built():
    with pytest.raises(UserError, match=r"observer 'min-max' is not known; did you mean 'minmax'\?"):
        Quantize(observer="min-max")
    with pytest.raises(UserError, match="overrides"):
        Quantize(scheme="float16", overrides=(Override(match="x", scheme="float"),))


def test_weights_of_a_layer_have_one_scale_where_that_is_wanted(model, context):
    rules = (Override(match="body", weight_granularity="channel"),)
    constants = Quantize(weight_granularity="tensor", overrides=rules)(model, context).graph.state_dict()
    assert len(constants["body.weight_scale"].unique()) == 8
    for layer in ("stem.0", "head"):
        assert len(constants[f"{layer}.weight_scale"].unique()) == 1
        assert constants[f"{layer}.weight"].dtype == torch.int8


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(12, 12)
        self.odd = nn.Softplus()

    def forward(self, x):
        return self.odd(self.first(x))


def test_an_operator_without_integers_is_named_and_can_be_left_in_float():
    model = model_of(Odd, (12,))
    context = context_of(model, samples((12,)))
    with pytest.raises(UserError, match=r"layer 'odd': operator 'softplus' can't be quantized to int8; leave it in float"):
        Quantize()(model, context)
    step = Quantize(overrides=(Override(operator="softplus", scheme="float"),))(model, context).history[-1]
    assert step.details["layers"] == {"first": "int8", "odd": "float"}


def test_calibration_needs_samples(model, context):
    empty = dataclasses.replace(context, data=dataclasses.replace(context.data, calibration=split_of(samples(SHAPE, 0))))
    with pytest.raises(UserError, match="no calibration samples"):
        Quantize()(model, empty)


@pytest.mark.parametrize(("factor", "warned"), [(1, False), (255, True), (1 / 255, True)])
def test_samples_of_another_scale_than_in_training_are_warned_of(factor, warned):
    def build():
        convolution = nn.Conv2d(3, 8, 3)
        norm = nn.BatchNorm2d(8, momentum=None)
        norm(convolution(torch.from_numpy(samples(SHAPE, 256))))
        return nn.Sequential(convolution, norm)

    model = model_of(build, SHAPE)
    step = Quantize()(model, context_of(model, samples(SHAPE, 64, seed=3) * np.float32(factor))).history[-1]
    assert any(line.startswith("warning: calibration samples look unlike training (1 sees") for line in step.lines) == warned


values = arrays(np.float32, st.integers(1, 60), elements=st.floats(-1000, 1000, width=32))


def observed(batches):
    seen = Histogram()
    for batch in batches:
        tensor = torch.from_numpy(batch)
        seen.add(lambda span, tensor=tensor: torch.histc(tensor, BINS, -span, span).double().numpy(), batch.min(), batch.max())
    return seen


@given(st.lists(values, min_size=1, max_size=5))
def test_a_histogram_counts_every_value_once_and_keeps_the_extremes(batches):
    seen = observed(batches)
    together = np.concatenate(batches)
    assert (seen.low, seen.high) == (min(together.min(), 0), max(together.max(), 0))
    assert seen.counts.sum() == together.size


@given(st.lists(values, min_size=1, max_size=5), st.sampled_from(sorted(OBSERVERS)))
def test_a_range_holds_zero_and_lies_within_what_was_seen(batches, observer):
    seen = observed(batches)
    low, high = OBSERVERS[observer](seen, 256)
    assert seen.low <= low <= 0 <= high <= seen.high


@pytest.mark.parametrize("observer", ["percentile", "mse", "entropy"])
def test_a_far_value_does_not_stretch_the_range(observer):
    values = np.append(np.random.default_rng(0).normal(size=200_000), 30).astype(np.float32)
    low, high = OBSERVERS[observer](observed([values]), 256)
    assert -6 < low < -2
    assert 2 < high < 25


@given(values, st.sampled_from([1.0, 64.0, 1024.0]))
def test_values_are_counted_as_torch_counts_them(batch, span):
    kept = torch.from_numpy(batch).clamp(-span, span)
    found, expected = (np.cumsum(each) for each in (counts(kept, span), torch.histc(kept, BINS, -span, span).numpy()))
    assert found[-1] == expected[-1]
    edges = np.linspace(-span, span, BINS + 1)[1:]
    assert ((np.searchsorted(np.sort(kept), edges - span / BINS / 1000) <= found) | (found == expected)).all()


def test_many_values_are_counted_as_few():
    few, times = torch.linspace(-3, 4, 1000), 300
    assert (counts(few.repeat(times), 4.0) == times * counts(few, 4.0)).all()


@pytest.mark.parametrize(("pixels", "together"), [(8, 8), (256, 2), (1024, 1)])
def test_the_larger_the_images_the_fewer_are_in_memory(pixels, together):
    shape, given = (3, pixels, pixels), []

    def load(rows):
        given.append(len(rows))
        return (np.ones((len(rows), *shape), np.float32),), np.zeros(len(rows), np.int64)

    model = model_of(lambda: nn.Sequential(nn.Conv2d(3, 1, 8, stride=8), trained(nn.BatchNorm2d(1))), shape)
    context = context_of(model, samples(shape, 1))
    Quantize()(model, dataclasses.replace(context, data=dataclasses.replace(context.data, calibration=Split(8, load))))
    assert max(given) == together


def test_numbers_that_are_not_finite_are_refused(model):
    with pytest.raises(UserError, match=r"'\w+' gives numbers that aren't finite"):
        Quantize()(model, context_of(model, np.full((8, *SHAPE), np.inf, np.float32)))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_folding_batch_norms_leaves_the_function_as_it_is(seed, bias, before):
    def build():
        torch.manual_seed(seed)
        convolution, norm = nn.Conv2d(3, 3, 3, bias=bias), trained(nn.BatchNorm2d(3))
        return nn.Sequential(norm, convolution) if before else nn.Sequential(convolution, norm)

    model = model_of(build, SHAPE)
    graph = model.copy_graph()
    assert batchnorm.fold(graph) == ["batch_norm"]
    inputs = torch.from_numpy(samples(SHAPE, 4, seed))
    with torch.no_grad():
        torch.testing.assert_close(graph(inputs), model.graph(inputs), rtol=1e-4, atol=1e-5)


def test_a_batch_norm_stays_out_of_a_layer_that_others_read():
    model = model_of(lambda: Network(lambda x, conv, norm: norm(conv(x)) + conv(x), nn.Conv2d(3, 4, 3), trained(nn.BatchNorm2d(4))), SHAPE)
    graph = model.copy_graph()
    batchnorm.fold(graph)
    inputs = torch.from_numpy(samples(SHAPE, 4))
    with torch.no_grad():
        torch.testing.assert_close(graph(inputs), model.graph(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shared", ["weight", "bias"])
def test_a_batch_norm_stays_out_of_constants_that_layers_share(shared):
    def build():
        one, other = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
        setattr(other, shared, getattr(one, shared))
        return Network(lambda x, one, norm, other: other(norm(one(x))), one, trained(nn.BatchNorm2d(3)), other)

    model = model_of(build, SHAPE)
    graph = model.copy_graph()
    batchnorm.fold(graph)
    inputs = torch.from_numpy(samples(SHAPE, 4))
    with torch.no_grad():
        torch.testing.assert_close(graph(inputs), model.graph(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "function",
    [
        torch.nn.functional.hardsigmoid,
        torch.nn.functional.silu,
        lambda x: (2 - x) / 4 + 1,
        lambda x: x.clamp(-0.5, 0.25),
        lambda x: x.clamp(min=0),
        lambda x: x.sum((-1, -2)),
        lambda x: torch.nn.functional.dropout(x, 0.5, training=False).contiguous(),
    ],
)
def test_rewrites_leave_the_function_as_it_is(function):
    model = model_of(lambda: Network(function), SHAPE)
    graph = model.copy_graph()
    simplify(graph)
    inputs = torch.from_numpy(samples(SHAPE, 4))
    torch.testing.assert_close(graph(inputs), model.graph(inputs))


def test_what_is_computed_twice_is_quantized_once():
    model = model_of(lambda: Network(lambda x, conv: torch.relu(conv(x)) + torch.relu(conv(x)), nn.Conv2d(3, 4, 3)), SHAPE)
    graph = Quantize()(model, context_of(model, samples(SHAPE))).graph
    assert [node.name for node in graph.graph.nodes if node.name.startswith(("conv2d", "relu"))] == ["conv2d", "relu"]
