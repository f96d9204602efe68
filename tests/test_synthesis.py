"""Distillation without data: inputs made from BatchNorms are such as the network knows, and students learn from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_distillation import Stages
from test_training import Split, accuracy, blobs, context_for, network
from torch import nn

from compress.data.base import Data
from compress.distillation.synthesis import synthetic
from compress.model import capture
from compress.passes.distill import Distill
from compress.passes.finetune import Finetune
from compress.passes.prune_channels import PruneChannels
from targets.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def teacher():
    torch.set_num_threads(1)
    start = network(Stages)
    return Finetune(epochs=6, learning_rate=0.01, batch_size=32)(start, context_for(start))


def no_data():
    """Data whose training part may not be looked at."""
    images, labels = blobs()
    split = Split(len(labels), lambda rows: ((images[rows],), labels[rows]))
    return Data("none", Split(0, lambda _: pytest.fail("the training part was read")), split, split, "none")


def test_made_inputs_are_known_to_the_network(teacher):
    context = context_for(teacher, data=no_data())
    made = synthetic(teacher, context, 64).data.training
    (inputs,), labels = made.load(np.arange(64))
    assert (inputs.shape, inputs.dtype, labels.dtype) == ((64, 1, 8, 8), np.float32, np.int64)
    assert float((teacher(torch.from_numpy(inputs)).argmax(1).numpy() == labels).mean()) > 0.95
    assert set(labels) == {0, 1, 2}
    real = blobs()[0]
    noise = np.random.default_rng(0).standard_normal((64, 1, 8, 8)).astype(np.float32) * real.std()
    assert distance(teacher, inputs) < distance(teacher, noise) / 2
    again = synthetic(teacher, context, 64).data.training.load(np.arange(64))[0][0]
    assert np.array_equal(inputs, again)


def distance(model, inputs):
    """How far what goes into the first BatchNorm is from its running variance, in units of it."""
    graph = model.graph
    first = nn.functional.conv2d(
        torch.from_numpy(inputs), graph.get_parameter("stem.0.weight"), graph.get_parameter("stem.0.bias"), padding=1
    )
    seen = graph.get_buffer("stem.1.running_var")
    return float((first.var((0, 2, 3)) / seen - 1).abs().mean().detach())


def test_a_pruned_network_learns_without_data(teacher):
    context = context_for(teacher, data=no_data())
    pruned = PruneChannels(ratio=0.6, correct=False)(teacher, context)
    learned = Distill(epochs=16, learning_rate=0.01, batch_size=32, synthetic=128)(pruned, context)
    assert accuracy(learned) > accuracy(pruned) + 0.2


def test_networks_without_batchnorms_are_refused():
    model = capture(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), (torch.zeros(1, 1, 8, 8),))
    with pytest.raises(UserError, match="train on data instead"):
        Distill(epochs=1, synthetic=32)(model, replace(context_for(model), data=no_data()))


@pytest.mark.parametrize("samples", [-1, 1])
def test_impossible_numbers_of_samples_are_refused(samples):
    with pytest.raises(UserError, match="synthetic"):
        Distill(synthetic=samples)
