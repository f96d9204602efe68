"""The least-squares correction brings a pruned network's answers back towards the whole network's."""

import numpy as np
import pytest
import torch
from pruning_networks import BLOCKS, Network, conv, digest
from torch import nn

from compress.context import Context
from compress.data.base import Data, Split
from compress.metrics import metric
from compress.model import capture
from compress.passes.prune_channels import PruneChannels

pytestmark = pytest.mark.usefixtures("one_thread")


def noise(shape, samples, seed):
    """Images with some structure: smooth noise of a few random directions."""
    random = np.random.default_rng(0)
    directions = random.standard_normal((12, *shape))
    weights = np.random.default_rng(seed).standard_normal((samples, 12))
    return (np.einsum("nd,d...->n...", weights, directions) / 3).astype(np.float32)


def context(model, samples=128):
    inputs = noise(model.example[0].shape[1:], samples, 1)
    split = Split(samples, lambda rows: ((inputs[rows],), np.zeros(len(rows), np.int64)))
    return Context(Data("noise", split, split, split, "noise"), model, metric("accuracy"), device="cpu")


def errors(model, **options):
    """Mean squared errors, relative to the outputs' variance, without and with correction, on samples not calibrated on."""
    inputs = torch.from_numpy(noise(model.example[0].shape[1:], 64, 2))
    wanted = model(inputs)
    found = []
    for correct in (False, True):
        pruned = PruneChannels(correct=correct, **options)(model, context(model))
        found.append(float(((pruned(inputs) - wanted) ** 2).mean() / wanted.var(0).mean()))
    return found


@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_every_block_is_nearer_to_the_whole_network_afterwards(block):
    model = capture(Network([block, "plain"], True, 0).eval(), (torch.zeros(1, 3, 8, 8),))
    before = digest(model)
    without, corrected = errors(model, ratio=0.4, criterion="l1")
    assert corrected < without / 2
    assert digest(model) == before


def test_channels_that_others_can_replace_are_not_missed():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 4))
    without, corrected = errors(capture(module.eval(), (torch.zeros(1, 3, 8, 8),)), ratio=0.5, keep=("1",))
    assert without > 0.1
    assert corrected < 0.02


def test_one_dimensional_and_fixed_batch_networks_are_corrected():
    class Sound(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.body = nn.Sequential(
                nn.Conv1d(2, 12, 5, padding="same"), nn.ReLU(), nn.Conv1d(12, 10, 3, stride=2, padding=1), nn.BatchNorm1d(10), nn.ReLU()
            )
            self.head = nn.Linear(10 * 8, 4)

        def forward(self, x):
            return self.head(self.body(x.reshape(1, 2, 16)).flatten(1))

    model = capture(Sound().eval(), (torch.zeros(1, 2, 16),))
    assert not model.free_batch
    without, corrected = errors(model, ratio=0.4)
    assert corrected < without / 2


def test_a_calculated_or_shared_weight_is_left_alone():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.stem, self.twice, self.head = conv(3, 8), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.twice(torch.relu(self.twice(self.stem(x)))).mean((2, 3)))

    model = capture(Shared().eval(), (torch.zeros(1, 3, 8, 8),))
    pruned = PruneChannels()(model, context(model))
    kept = [torch.tensor(pruned.history[-1].details["plan"]["twice.weight"][axis]) for axis in ("0", "1")]
    expected = model.graph.get_parameter("twice.weight")[kept[0]][:, kept[1]]
    assert torch.equal(pruned.graph.get_parameter("twice.weight"), expected)


def test_reconstruction_removes_what_others_can_replace():
    torch.manual_seed(0)
    module = nn.Sequential(conv(3, 8), nn.Conv2d(8, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 4))
    with torch.no_grad():
        for tensor in (module[0][0].weight, module[0][0].bias, module[0][1].weight, module[0][1].bias):
            tensor[4:] = 2 * tensor[:4]
        module[0][0].weight[[0, 1, 4, 5]] *= 5
    options = {"ratio": 0.5, "keep": ("1",)}
    model = capture(module.eval(), (torch.zeros(1, 3, 8, 8),))
    pruned = PruneChannels(criterion="reconstruction", **options)(model, context(model))
    kept = pruned.history[-1].details["plan"]["0.0.weight"]["0"]
    assert sorted(channel % 4 for channel in kept) == [0, 1, 2, 3]
    by_size, by_error = (errors(model, criterion=criterion, **options)[1] for criterion in ("l1", "reconstruction"))
    assert by_error < 0.1 * by_size


@pytest.mark.parametrize("scope", ["uniform", "global"])
def test_reconstruction_misses_less_than_magnitude(scope):
    model = capture(Network(["residual", "dense", "plain"], True, 1).eval(), (torch.zeros(1, 3, 8, 8),))
    by_size, by_error = (errors(model, macs=0.4, scope=scope, criterion=criterion)[1] for criterion in ("l1", "reconstruction"))
    assert by_error < by_size
