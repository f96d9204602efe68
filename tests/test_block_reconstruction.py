"""Blocks whose weights are rounded together: which they are, and that nothing gets worse where it is judged."""

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quantized_networks import Network, context_of, model_of, samples
from torch import nn
from torch.nn import functional as F

from compress.passes.adaround import Adaround
from compress.passes.prune_weights import PruneWeights
from compress.passes.quantize import Quantize
from compress.quantization.blocks import blocks
from compress.quantization.choices import Choices
from compress.quantization.layers import pairs
from targets.errors import UserError

SHAPE = (3, 8, 8)
LIMIT = 7
TOGETHER = Adaround(scope="block", iterations=40)
IN_BLOCKS = ["layers.1", "layers.2", "layers.3", "layers.4"]


def build():
    """A stem, a residual block, a depthwise convolution with what follows, and a linear layer."""
    return Network(
        forward,
        nn.Conv2d(3, 8, 3, padding=1),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 12, 1),
        nn.Linear(12, 5),
    )


def forward(x, stem, first, second, depthwise, pointwise, head):
    x = F.relu(stem(x))
    x = F.relu(x + second(F.relu(first(x))))
    return head(F.relu(pointwise(F.relu(depthwise(x)))).mean((2, 3)))


@pytest.fixture(scope="module")
def model():
    return model_of(build, SHAPE)


@pytest.fixture(scope="module")
def context(model):
    return context_of(model, samples(SHAPE, 96))


@pytest.fixture(scope="module", params=["w4a8", "int8"])
def quantized(request, model, context):
    return Quantize(scheme=request.param)(model, context)


def weights(model):
    return {name: tensor for name, tensor in model.graph.state_dict().items() if tensor.dtype == torch.int8}


def test_blocks_are_residual_ones_and_depthwise_ones_with_what_follows(quantized):
    graph = quantized.copy_graph()
    found = blocks(graph.graph, pairs(graph, quantized.reference.graph))
    assert [block.name for block in found] == ["layers.1, layers.2", "layers.3, layers.4"]


def test_held_out_error_never_rises_and_weights_stay_on_their_grid(quantized, context):
    alone, together = Adaround()(quantized, context), TOGETHER(quantized, context)
    lines = together.history[-1].lines[len(alone.history[-1].lines) :]
    assert [line.partition(":")[0] for line in lines] == ["layers.1, layers.2", "layers.3, layers.4"]
    for line in lines:
        numbers = [float(word.rstrip("%")) for word in line.split() if word.endswith("%")]
        assert numbers == sorted(numbers, reverse=True)
    before, after = alone.graph.state_dict(), together.graph.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed <= {f"{name}.weight" for name in IN_BLOCKS}
    for name in changed:
        assert after[name].dtype == torch.int8
        assert (after[name].int() - before[name].int()).abs().max() == 1
        assert after[name].abs().max() <= (LIMIT if quantized.history[-1].options["scheme"] == "w4a8" else 127)
    assert bool(changed) == any("->" in line for line in lines)


def test_a_block_that_learned_something_better_keeps_it(model, context):
    rounded = Quantize(scheme="w4a8", weight_rounding="nearest")(model, context)
    together = Adaround(scope="block", iterations=40)(rounded, context)
    assert "->" in "".join(together.history[-1].lines[-2:])


def test_what_pruning_took_stays_zero(model, context):
    steps = [PruneWeights(sparsity=0.6), Quantize(scheme="w4a8"), TOGETHER]
    together = functools.reduce(lambda result, options: options(result, context), steps, model)
    zeros = {name: tensor == 0 for name, tensor in together.reference.graph.state_dict().items() if name in weights(together)}
    assert sum(int(places.sum()) for places in zeros.values()) > 0.5 * sum(places.numel() for places in zeros.values())
    assert all(not weights(together)[name][places].any() for name, places in zeros.items())


def test_the_same_seed_gives_the_same_network(model, context):
    quantized = Quantize(scheme="w4a8")(model, context)
    first, second = (weights(TOGETHER(quantized, context)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_too_few_samples_to_hold_any_out_are_told(quantized, context):
    with pytest.raises(UserError, match="scope block holds samples out to judge by; give it more than 32 calibration samples"):
        Adaround(scope="block", samples=20)(quantized, context)


@pytest.mark.parametrize("options", [{"scope": "blok"}, {"iterations": 0}])
def test_mistakes_in_options_are_told(options):
    with pytest.raises(UserError, match=r"did you mean 'block'|iterations must be at least 1"):
        Adaround(**options)


@given(seed=st.integers(0, 2**16), spread=st.sampled_from([0.2, 1.0, 3.0]))
@settings(max_examples=25, deadline=None)
def test_choices_start_at_their_integers_and_stay_on_the_grid(seed, spread):
    random = torch.Generator().manual_seed(seed)
    integers = torch.randint(-LIMIT, LIMIT + 1, (3, 4), generator=random)
    scales = torch.rand(3, 1, generator=random) + 0.1
    real = (integers + spread * (torch.rand(3, 4, generator=random) - 0.5)) * scales
    real[0, 0], integers[0, 0] = 0.0, 0
    choices = Choices.around(integers, real, scales, (-LIMIT, LIMIT))
    assert torch.equal(choices.integers(), integers.to(torch.int8))
    other = choices.changed(torch.ones(3, 4, dtype=torch.bool)).integers()
    assert ((other - integers).abs().flatten()[1:] == 1).all()
    assert other.abs().max() <= LIMIT
    assert other[0, 0] == 0
