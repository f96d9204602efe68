"""Several devices share each batch. Here all of them are the CPU: the sums are those of as many GPUs."""

from dataclasses import replace

import pytest
import torch
from pruning_networks import digest
from test_training import FAST, Network, StopAfter, accuracy, context_for, network
from torch import nn

from compress.passes.distill import Distill
from compress.passes.finetune import Finetune
from compress.passes.qat import Qat
from compress.training.devices import devices
from targets.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


class Certain(Network):
    """Without dropout, whose draws hang on how a batch is divided."""

    def __init__(self, **sizes):
        super().__init__(**sizes)
        self.drop = nn.Identity()


PLAIN = {"epochs": 2, "batch_size": 32, "optimizer": "sgd", "learning_rate": 0.05, "freeze_batchnorm": 1.0}
"""BatchNorms keep their statistics all along, so that a sample's gradient doesn't hang on the others."""


def moved(trained, before):
    """How far training went, all weights in one row."""
    pairs = zip(trained.graph.parameters(), before.graph.parameters(), strict=True)
    return torch.cat([(mine - theirs).detach().flatten() for mine, theirs in pairs])


@pytest.mark.parametrize(
    ("options", "near"),
    [
        (Distill(**PLAIN, augment=("flip", "mixup"), ema=0.9), 1e-4),
        (Finetune(**PLAIN, teacher="original", losses=("features",)), 0.1),  # a mean over the part, in relation to the part's
    ],
    ids=["outputs", "features"],
)
def test_three_devices_train_to_what_one_does(options, near):
    teacher, student = network(Certain, width=6), network(Certain, seed=1)
    context = context_for(teacher)
    alone, shared = (moved(replace(options, devices=count)(student, context), student) for count in (1, 3))
    assert float((shared - alone).norm()) < near * float(alone.norm())


@pytest.mark.parametrize("make", [Finetune, Distill, Qat])
def test_two_devices_learn_with_their_own_statistics(make):
    model = network()
    options = make(epochs=6, learning_rate=0.02, batch_size=32, alpha=0.0, devices=2)
    trained = options(model, context_for(model))
    assert accuracy(trained) > 0.9 > accuracy(model)
    if make is not Qat:
        assert float((trained.graph.get_buffer("norm.running_mean")).abs().sum()) > 0


def test_statistics_are_the_mean_of_the_devices():
    model = network(Certain)
    still = {"epochs": 1, "batch_size": 216, "learning_rate": 1e-12}
    alone, shared = (Finetune(**still, devices=count)(model, context_for(model)).graph.get_buffer("norm.running_mean") for count in (1, 2))
    torch.testing.assert_close(shared, alone)
    assert not torch.equal(alone, model.graph.get_buffer("norm.running_mean"))


def test_several_devices_resume_to_the_same_bits(tmp_path):
    model = network()
    options = replace(FAST, devices=2)
    whole = options(model, context_for(model))
    with pytest.raises(KeyboardInterrupt):
        options(model, replace(context_for(model, tmp_path), progress=StopAfter(24, kill=False)))
    assert len(list(tmp_path.glob("*.ckpt"))) == 1
    assert digest(options(model, context_for(model, tmp_path))) == digest(whole) != digest(FAST(model, context_for(model)))


def test_how_many_there_are():
    cpu = torch.device("cpu")
    assert devices(cpu, "auto") == [cpu]
    assert devices(cpu, 3) == [cpu] * 3
    with pytest.raises(UserError, match="at most"):
        devices(torch.device("cuda", 0), torch.cuda.device_count() + 1)
    with pytest.raises(UserError, match="devices must be at least 1"):
        Finetune(devices=0)
