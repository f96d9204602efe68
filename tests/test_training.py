"""The training loop: it learns, repeats itself, goes on where it was killed, and keeps zeros."""

import multiprocessing
import os
import signal
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from pruning_networks import digest
from torch import nn

from compress.context import Context
from compress.data.base import Data, Split
from compress.distillation.soft import soft_targets
from compress.interruption import taken_at_stops
from compress.metrics import metric
from compress.model import capture
from compress.passes.distill import Distill
from compress.passes.finetune import Finetune
from compress.progress import Silent
from targets.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


class Network(nn.Module):
    def __init__(self, width=8, outputs=3):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(self.drop(torch.relu(self.norm(self.conv(x))).mean((2, 3))))


class FixedBatch(Network):
    def forward(self, x):
        return super().forward(x.reshape(1, 1, 8, 8))


def blobs(samples=240, classes=3, seed=0):
    """Images whose class is the frequency of their stripes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, samples)
    stripes = np.sin(np.arange(8)[None] * (labels[:, None] + 1) * 0.9 + random.uniform(0, 6, (samples, 1)))
    images = (stripes[:, None, None, :] + 0.3 * random.standard_normal((samples, 1, 8, 8))).astype(np.float32)
    return images, labels.astype(np.int64)


def arrays_to_data(images, labels):
    split = Split(len(labels), lambda rows: ((images[rows],), labels[rows]))
    return Data("blobs", split, split, split, fingerprint="blobs")


def network(kind=Network, seed=0, **sizes):
    torch.manual_seed(seed)
    return capture(kind(**sizes), (torch.zeros(1, 1, 8, 8),))


def context_for(model, directory=None, data=None, name="accuracy"):
    return Context(data or arrays_to_data(*blobs()), model, metric(name), device="cpu", directory=directory)


def accuracy(model):
    images, labels = blobs(seed=1)
    return float((model(torch.from_numpy(images)).argmax(1).numpy() == labels).mean())


FAST = Finetune(epochs=6, learning_rate=0.02, batch_size=32)


def test_finetune_learns_and_leaves_its_input_alone():
    model = network()
    before = digest(model)
    trained = FAST(model, context_for(model))
    assert digest(model) == before
    assert accuracy(trained) > 0.9 > accuracy(model)
    assert trained.history[-1].name == "finetune"
    assert trained.graph.get_buffer("norm.running_mean").abs().sum() > 0
    assert "loss" in trained.history[-1].lines[0]


def test_a_trained_graph_is_in_inference_mode():
    model = network()
    trained = Finetune(epochs=1)(model, context_for(model))
    images = torch.from_numpy(blobs()[0][:20])
    assert torch.equal(trained(images), trained(images))
    torch.testing.assert_close(trained(images[:1]), trained(images)[:1])
    assert all(weight.grad is None for weight in trained.graph.parameters())


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    model = network()
    first, second = (FAST(model, context_for(model)) for _ in range(2))
    other = FAST(model, replace(context_for(model), seed=1))
    assert digest(first) == digest(second) != digest(other)


class StopAfter(Silent):
    """Ends the training in the middle of an epoch: for good, as a power cut would, or by Ctrl-C."""

    def __init__(self, steps, kill):
        self.left, self.kill = steps, kill

    def task(self, title, total=None):  # noqa: ARG002
        return nullcontext(self)

    def advance(self, steps=1, note=""):  # noqa: ARG002
        self.left -= steps
        if self.left < 0:
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt


def _train_until_killed(directory, steps):
    model = network()
    torch.set_num_threads(1)
    FAST(model, replace(context_for(model, directory), progress=StopAfter(steps, kill=True)))


def test_a_killed_training_resumes_to_the_same_bits(tmp_path):
    model = network()
    whole = FAST(model, context_for(model))
    process = multiprocessing.get_context("spawn").Process(target=_train_until_killed, args=(tmp_path, 24))
    process.start()
    process.join(600)
    assert process.exitcode == -signal.SIGKILL
    assert len(list(tmp_path.glob("*.ckpt"))) == 1
    resumed = FAST(model, context_for(model, tmp_path))
    assert digest(resumed) == digest(whole)
    assert resumed.history[-1].details == whole.history[-1].details
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_training_is_not_taken_up(tmp_path):
    model = network()

    with pytest.raises(KeyboardInterrupt):
        FAST(model, replace(context_for(model, tmp_path), progress=StopAfter(24, kill=False)))
    assert len(list(tmp_path.iterdir())) == 1
    other = replace(FAST, learning_rate=0.01)
    assert digest(other(model, context_for(model, tmp_path))) == digest(other(model, context_for(model)))


def test_a_network_of_fixed_batch_learns_too():
    model = network(FixedBatch)
    assert not model.free_batch
    trained = Finetune(epochs=4, learning_rate=0.02, batch_size=16)(model, context_for(model))
    assert accuracy(trained) > max(0.6, accuracy(model))


def test_the_best_epoch_is_kept():
    model = network()
    step = FAST(model, context_for(model)).history[-1]
    scores = step.details["scores"]
    assert scores[step.details["best_epoch"] - 1] == max(scores)


def test_zeros_are_kept_unless_told_otherwise():
    model = network()
    graph = model.copy_graph()
    with torch.no_grad():
        graph.get_parameter("conv.weight")[..., ::2] = 0
    sparse = replace(model, graph=graph)
    kept = FAST(sparse, context_for(sparse)).graph.get_parameter("conv.weight")
    lost = replace(FAST, keep_zeros=False)(sparse, context_for(sparse)).graph.get_parameter("conv.weight")
    assert torch.equal(kept == 0, graph.get_parameter("conv.weight") == 0)
    assert not (lost == 0).any()


def test_regression_learns_by_squared_error():
    images, _ = blobs()
    targets = images.mean((1, 3))[:, :3].astype(np.float32)
    model = network()
    trained = Finetune(epochs=8, learning_rate=0.02)(model, context_for(model, data=arrays_to_data(images, targets), name="mse"))

    def error(each):
        return float(((each(torch.from_numpy(images)).numpy() - targets) ** 2).mean())

    assert error(trained) < error(model) / 2
    assert error(Distill(epochs=2)(model, context_for(trained, data=arrays_to_data(images, targets), name="mse"))) < error(model)


def test_a_student_learns_from_its_teacher_alone():
    teacher = FAST(network(), context_for(network()))
    images, labels = blobs()
    misleading = arrays_to_data(images, np.zeros_like(labels))
    student = network(seed=5)
    distilled = Distill(epochs=12, learning_rate=0.03, batch_size=32, alpha=1.0, held_out=0)(student, context_for(teacher, data=misleading))
    assert accuracy(distilled) > 0.8


def test_soft_targets_vanish_where_student_and_teacher_agree_up_to_a_constant():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    assert float(soft_targets(logits + 3, logits, 2.0)) == pytest.approx(0, abs=1e-6)
    assert float(soft_targets(logits.flip(1), logits, 2.0)) > 0


def test_soft_targets_by_hand():
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0 * np.log(3.0), 0.0]])
    expected = 4 * (0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5))
    assert float(soft_targets(student, teacher, 2.0)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"batch_size": -1}, "batch_size"),
        ({"held_out": 1.0}, "held_out"),
        ({"optimizer": "adam"}, "optimizer"),
        ({"weight_decay": -1.0}, "weight_decay"),
    ],
)
def test_impossible_options_are_refused(options, word):
    with pytest.raises(UserError, match=word):
        Finetune(**options)


@pytest.mark.parametrize(
    ("options", "word"), [({"alpha": 2.0}, "alpha"), ({"temperature": 0.0}, "temperature"), ({"teacher": "x"}, "teacher")]
)
def test_impossible_distillation_is_refused(options, word):
    with pytest.raises(UserError, match=word):
        Distill(**options)


def test_mistakes_met_while_training_are_told():
    model = network()
    with pytest.raises(UserError, match="learning_rate"):
        Finetune(epochs=3, learning_rate=1e30, optimizer="sgd", clip_norm=1e30)(model, context_for(model))
    with pytest.raises(UserError, match="2 samples"):
        FAST(model, context_for(model, data=arrays_to_data(*blobs(samples=1))))
    with pytest.raises(UserError, match="teacher's outputs"):
        Distill(epochs=1)(model, context_for(network(outputs=4)))


def test_a_last_batch_of_one_sample_does_no_harm():
    model = network()
    data = arrays_to_data(*blobs(samples=33))
    trained = Finetune(epochs=1, batch_size=32, held_out=0)(model, context_for(model, data=data))
    assert trained.history[-1].details["scores"] == [None]


def test_ctrl_c_waits_for_a_stop_and_a_second_one_does_not():
    reached, before = [], signal.getsignal(signal.SIGINT)

    def pressed(times):
        with taken_at_stops() as stop_if_pressed:
            stop_if_pressed()
            for time in range(times):
                signal.raise_signal(signal.SIGINT)
                reached.append(f"behind {time + 1} of {times}")
            stop_if_pressed()
            reached.append("behind the stop")

    for times in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            pressed(times)
    assert reached == ["behind 1 of 1", "behind 1 of 2"]
    assert signal.getsignal(signal.SIGINT) is before
