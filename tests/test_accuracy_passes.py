"""Passes that win accuracy back: what each promises of the network's integers and of its function."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_networks import BLOCKS
from pruning_networks import Network as Blocks
from quantized_networks import Network, context_of, model_of, samples, trained
from torch import nn
from torch.nn import functional as F

import compress
from compress import store
from compress.passes.adaround import MULTIPLES, Adaround
from compress.passes.correct_bias import CorrectBias
from compress.passes.equalize import Equalize
from compress.passes.prune_weights import PruneWeights
from compress.passes.quantize import Quantize
from compress.pipeline import apply_one
from compress.quantization.least_squares import Rounding
from targets.errors import UserError

SHAPE = (3, 8, 8)
SCHEMES = ("int8", "int16x8", "w4a8")


def build():
    """Folded and plain convolutions, a depthwise and a grouped one, a residual sum and a linear layer."""
    return Network(
        lambda x, stem, norm, depthwise, grouped, head: head(residual(F.relu(norm(stem(x))), depthwise, grouped).mean((2, 3))),
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        trained(nn.BatchNorm2d(8)),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 8, 3, padding=1, groups=2),
        nn.Linear(8, 5),
    )


def residual(x, depthwise, grouped):
    return F.relu(x + grouped(F.relu(depthwise(x))))


@pytest.fixture(scope="module")
def model():
    return model_of(build, SHAPE)


@pytest.fixture(scope="module")
def context(model):
    return context_of(model, samples(SHAPE, 64))


@pytest.fixture(scope="module", params=SCHEMES)
def quantized(request, model, context):
    return Quantize(scheme=request.param)(model, context)


def inputs(seed=0, count=64):
    return torch.from_numpy(samples(SHAPE, count, seed))


def test_integers_come_from_one_thread_however_many_there_are():
    plain = model_of(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)), SHAPE)
    context, seen = context_of(plain, samples(SHAPE, 64)), []
    calibration = context.data.calibration

    def load(rows):
        seen.append(torch.get_num_threads())
        return calibration.load(rows)

    watched = dataclasses.replace(context, data=dataclasses.replace(context.data, calibration=dataclasses.replace(calibration, load=load)))
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        for step in (Equalize(), Quantize(), Adaround(), CorrectBias()):
            plain = step(plain, watched)
        assert set(seen) == {1}
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def error(model, values):
    """Mean squared difference from the float network."""
    return float((model(values) - model.reference(values)).square().mean())


def integers(model):
    return {name: tensor for name, tensor in model.graph.state_dict().items() if tensor.dtype == torch.int8}


@pytest.mark.parametrize("options", [Adaround(), CorrectBias()], ids=lambda options: type(options).__name__)
def test_a_pass_brings_the_network_nearer_to_the_float_one(options, quantized, context):
    better = options(quantized, context)
    assert error(better, inputs()) < error(quantized, inputs())
    assert error(better, inputs(seed=1, count=256)) < error(quantized, inputs(seed=1, count=256))


def test_adaround_keeps_integers_in_range_and_leaves_scales_of_8_bits(quantized, context):
    better = Adaround()(quantized, context)
    limit = 7 if quantized.history[-1].options["scheme"] == "w4a8" else 127
    before, after = quantized.graph.state_dict(), better.graph.state_dict()
    assert set(before) == set(after)
    for name, tensor in after.items():
        assert tensor.dtype == before[name].dtype
        if tensor.is_floating_point() and limit == 127:
            assert torch.equal(tensor, before[name])
    assert any(not torch.equal(tensor, before[name]) for name, tensor in integers(better).items())
    assert all(tensor.abs().max() <= limit for tensor in integers(better).values())


def scales(model):
    """Those of weights and of biases, by the layer's name."""
    state = model.graph.state_dict()
    return {
        name.removesuffix(".weight_scale"): (tensor, state[name.replace("weight", "bias")])
        for name, tensor in state.items()
        if name.endswith("weight_scale")
    }


def test_adaround_finds_better_scales_for_4_bits(model, context):
    quantized = Quantize(scheme="w4a8")(model, context)
    better = scales(Adaround()(quantized, context))
    changed = 0
    for name, (weights, biases) in scales(quantized).items():
        ratio = better[name][0] / weights
        assert (ratio.sub(torch.tensor(MULTIPLES)[:, None]).abs().amin(0) < 1e-6).all()
        torch.testing.assert_close(better[name][1] / biases, ratio, rtol=1e-6, atol=0)
        changed += int((ratio != 1).sum())
    assert changed


def test_one_scale_for_a_whole_tensor_stays_one(model, context):
    quantized = Quantize(scheme="w4a8", weight_granularity="tensor")(model, context)
    better = Adaround()(quantized, context)
    assert error(better, inputs()) < error(quantized, inputs())
    for name, (weights, _) in scales(better).items():
        assert torch.equal(weights, scales(quantized)[name][0])


def test_adaround_says_for_each_layer_what_it_won(quantized, context):
    lines = Adaround()(quantized, context).history[-1].lines
    assert [line.partition(":")[0] for line in lines] == ["layers.0", "layers.2", "layers.3", "layers.4"]
    for line in lines:
        before, after = (float(word.rstrip("%")) for word in line.split() if word.endswith("%"))
        assert after <= before


def layer_means(model, names):
    """Means over samples and positions of each layer's channels, by the name of its weights."""
    found = {}

    class Watch(torch.fx.Interpreter):
        def run_node(self, n):
            result = super().run_node(n)
            if str(n.target).startswith(("aten.conv2d", "aten.linear")):
                weight = n.args[1]
                while weight.op != "get_attr":
                    weight = weight.args[0]
                axis = -1 if result.dim() == 2 else 1
                found[str(weight.target)] = result.movedim(axis, -1).flatten(0, -2).mean(0)
            return result

    with torch.no_grad():
        Watch(model.graph).run(inputs())
    return [found[name] for name in names]


def test_correct_bias_makes_the_means_of_channels_agree(quantized, context):
    names = [f"layers.{number}.weight" for number in (0, 2, 3, 4)]
    better = CorrectBias()(quantized, context)
    steps = [better.graph.state_dict()[name.replace("weight", "bias_scale")] for name in names]
    for after, real, step in zip(layer_means(better, names), layer_means(quantized.reference, names), steps, strict=True):
        assert ((after - real).abs() < 0.51 * step + 1e-5).all()


def test_correct_bias_changes_nothing_else(quantized, context):
    better = CorrectBias()(quantized, context)
    before, after = quantized.graph.state_dict(), better.graph.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} <= {f"layers.{n}.bias" for n in (0, 2, 3, 4)}


def test_a_network_from_the_cache_is_corrected_alike(quantized, context, tmp_path):
    store.save(quantized, tmp_path / "kept")
    straight, loaded = (Adaround()(each, context) for each in (quantized, store.load(tmp_path / "kept")))
    assert torch.equal(straight(inputs()), loaded(inputs()))
    assert straight.history[-1].lines == loaded.history[-1].lines


def test_a_network_whose_batch_size_is_fixed_is_corrected(model, context):
    fixed = dataclasses.replace(model, example=model.sample())
    quantized = Quantize()(fixed, context_of(fixed, samples(SHAPE, 16)))
    assert error(Adaround(samples=16)(quantized, context), inputs(count=16)) < error(quantized, inputs(count=16))


@given(seed=st.integers(0, 2**16), width=st.integers(1, 12), bits=st.sampled_from([4, 8]))
@settings(max_examples=25, deadline=None)
def test_rounding_by_moments_is_never_worse_than_to_the_nearest(seed, width, bits):
    random = torch.Generator().manual_seed(seed)
    weights = torch.randn(2, 3, width, generator=random, dtype=torch.float64)
    values = torch.randn(2, 40, width, generator=random, dtype=torch.float64) @ torch.randn(
        width, width, generator=random, dtype=torch.float64
    )
    covariance = values.transpose(1, 2) @ values / 40 + 1e-3 * torch.eye(width, dtype=torch.float64)
    limit = 2 ** (bits - 1) - 1
    scales = weights.abs().amax(2, keepdim=True) / limit
    chosen = Rounding(weights, weights != 0, covariance, (-limit, limit)).integers(scales)
    assert torch.equal(chosen, chosen.round())
    assert chosen.abs().max() <= limit

    def cost(integers):
        left = weights - integers * scales
        return ((left @ covariance) * left).sum()

    assert cost(chosen) <= cost((weights / scales).round().clamp(-limit, limit)) * (1 + 1e-9) + 1e-12 or width > 2


@pytest.mark.parametrize("scheme", ["int8", "w4a8"])
def test_adaround_keeps_the_zeros_of_pruned_weights(scheme, model, context):
    steps = [PruneWeights(sparsity=0.6), Quantize(scheme=scheme), Adaround()]
    better = functools.reduce(lambda result, options: options(result, context), steps, model)
    zeros = {name: tensor == 0 for name, tensor in better.reference.graph.state_dict().items() if name in integers(better)}
    assert sum(int(places.sum()) for places in zeros.values()) > 0.5 * sum(places.numel() for places in zeros.values())
    assert all(not integers(better)[name][places].any() for name, places in zeros.items())
    assert "->" in "".join(better.history[-1].lines)


def test_overrides_in_float_are_left_alone(model, context):
    mixed = compress.recipe.build(Quantize, {"overrides": [{"match": "layers.3", "scheme": "float"}]}, "quantize")(model, context)
    better = Adaround()(mixed, context)
    assert [line.partition(":")[0] for line in better.history[-1].lines] == ["layers.0", "layers.2", "layers.4"]
    assert error(better, inputs()) < error(mixed, inputs())


@pytest.mark.parametrize("name", ["adaround", "correct_bias"])
def test_mistakes_are_told_in_one_line(name, model, quantized, context):
    options = {"adaround": Adaround, "correct_bias": CorrectBias}[name]
    with pytest.raises(UserError, match=f"{name} works on a quantized network, but this one is float; put quantize before {name}"):
        apply_one(name, options(), model, context)
    with pytest.raises(UserError, match="samples must be at least 1"):
        options(samples=0)
    halves = Quantize(scheme="float16")(model, context)
    with pytest.raises(UserError, match=f"{name}: there is no float network to compare with"):
        options()(halves, context)
    empty = dataclasses.replace(context, data=dataclasses.replace(context.data, calibration=context.data.calibration.first(0)))
    with pytest.raises(UserError, match=f"{name}: there are no calibration samples"):
        options()(quantized, empty)


@pytest.mark.parametrize("scheme", ["int8", "w4a8"])
@pytest.mark.parametrize("file_format", ["tflite", "onnx"])
def test_the_exported_file_has_the_new_integers(scheme, file_format, model, context, tmp_path):
    from quantized_networks import run_file

    better = Adaround()(Quantize(scheme=scheme)(model, context), context)
    values = samples(SHAPE, 8, 3)
    artifact = compress.export(better, file_format, tmp_path)
    step = better.graph.graph.output_node().all_input_nodes[0].args[1]
    np.testing.assert_allclose(run_file(artifact, values), better(torch.from_numpy(values)).numpy(), atol=1.01 * step)


@given(blocks=st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=3), flat=st.booleans(), seed=st.integers(0, 999))
@settings(max_examples=8, deadline=None)
def test_equalize_leaves_the_function_as_it_is(blocks, flat, seed):
    model = model_of(lambda: Blocks(blocks, flat, seed).eval(), SHAPE)
    equalized = Equalize(samples=4)(model, context_of(model, samples(SHAPE, 8)))
    values = inputs(seed=seed, count=8)
    torch.testing.assert_close(equalized(values), model(values), rtol=1e-3, atol=1e-4)


def uneven(model):
    """The same function, with channels of the stem a hundred times apart."""
    graph = model.copy_graph()
    factors = torch.logspace(-1, 1, 8)
    state = graph.state_dict()
    with torch.no_grad():
        state["layers.1.weight"] *= factors
        state["layers.1.bias"] *= factors
        state["layers.2.weight"] /= factors.reshape(-1, 1, 1, 1)
    return dataclasses.replace(model, graph=graph)


def plain():
    """A chain, so that each channel has a factor of its own."""
    return Network(
        lambda x, stem, norm, depthwise, head: head(F.relu(depthwise(F.relu(norm(stem(x))))).mean((2, 3))),
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        trained(nn.BatchNorm2d(8)),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Linear(8, 5),
    )


def test_equalize_undoes_what_drowns_channels(context):
    model = uneven(model_of(plain, SHAPE))
    torch.testing.assert_close(model(inputs()), model_of(plain, SHAPE)(inputs()), rtol=1e-4, atol=1e-5)
    alone = error(Quantize(equalize=False)(model, context), inputs(1))
    assert error(Quantize(equalize=False)(Equalize()(model, context), context), inputs(1)) < 0.9 * alone
    assert error(Quantize()(model, context), inputs(1)) < 0.9 * alone


def test_quantize_equalizes_only_where_nothing_speaks_against_it(model, context):
    def equalizes(before, **options):
        return any("noise of rounding" in line for line in Quantize(**options)(before, context).history[-1].lines)

    assert equalizes(model)
    assert equalizes(model, scheme="w4a8")
    assert not equalizes(Equalize()(model, context))
    assert not equalizes(model, weight_granularity="tensor")


def test_equalize_says_what_became_of_each_layer(model, context):
    step = Equalize()(model, context).history[-1]
    assert step.lines[0] == "folded 1 BatchNorm layers"
    assert [line.partition(":")[0] for line in step.lines if line.startswith("layers.")] == ["layers.0", "layers.2", "layers.3", "layers.4"]
    assert step.lines[-1] == "layers.4: its outputs stay as they are"


def test_what_is_bounded_stays_as_it_is(context):
    model = model_of(lambda: Network(lambda x, one, two: two(F.relu6(one(x))), nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)), SHAPE)
    lines = Equalize()(model, context).history[-1].lines
    assert any("relu6 is not homogeneous" in line for line in lines)
    assert "layers.0: its outputs stay as they are" in lines


def test_a_network_without_layers_is_left_alone(context):
    model = model_of(lambda: Network(lambda x: F.relu(x).flatten(1)), SHAPE)
    assert torch.equal(Equalize()(model, context)(inputs()), model(inputs()))


def test_equalize_refuses_what_it_cannot_know(model, context):
    with pytest.raises(UserError, match="scheme 'int4' is not known"):
        Equalize(scheme="int4")
    with pytest.raises(UserError, match="samples must be at least 1"):
        Equalize(samples=0)
    empty = dataclasses.replace(context, data=dataclasses.replace(context.data, calibration=context.data.calibration.first(0)))
    with pytest.raises(UserError, match="equalize: there are no calibration samples"):
        Equalize()(model, empty)
