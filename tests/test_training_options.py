"""What a training may be told besides its epochs: schedules, averages, early stops, precision, augmentation."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pruning_networks import digest
from test_training import StopAfter, accuracy, arrays_to_data, blobs, context_for, network

from compress.passes.finetune import Finetune
from compress.training import Batch, TrainingOptions
from compress.training.augmentation import Augmentation
from targets.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")
FAST = Finetune(epochs=6, learning_rate=0.02, batch_size=32)
EVERYTHING = replace(
    FAST, augment=("flip", "crop", "mixup", "cutmix"), ema=0.9, patience=5, schedule="step", teacher="self", losses=("features",)
)


def batch(samples=12, size=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Batch((torch.rand(samples, 3, size, size, generator=generator),), torch.arange(samples) % 4)


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_rates_warm_up_and_never_rise_again(schedule):
    options = TrainingOptions(schedule=schedule, warmup=0.1, learning_rate=0.5)
    rates = [options.rate(step / 200) for step in range(201)]
    assert rates[0] == 0
    assert rates[10] == pytest.approx(0.25)
    assert max(rates) == pytest.approx(0.5, rel=1e-2)
    assert all(later <= earlier for earlier, later in pairwise(rates[20:]))
    assert rates[200] == pytest.approx({"cosine": 0, "step": 0.005, "constant": 0.5}[schedule], abs=1e-9)


def test_milestones_divide_the_rate_by_ten():
    options = TrainingOptions(schedule="step", warmup=0, milestones=(0.3,), learning_rate=1.0)
    assert (options.rate(0.29), options.rate(0.3)) == (1.0, pytest.approx(0.1))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_every_precision_learns_and_keeps_float32_weights(precision, capfd):
    model = network()
    trained = replace(FAST, precision=precision)(model, context_for(model))
    assert accuracy(trained) > 0.9
    assert {tensor.dtype for tensor in trained.graph.parameters()} == {torch.float32}
    assert capfd.readouterr().err == ""


def test_half_precision_needs_a_gpu():
    model = network()
    with pytest.raises(UserError, match="bf16-mixed"):
        replace(FAST, precision="16-mixed")(model, context_for(model))


def test_an_average_of_weights_learns_and_moves_less_than_they_do():
    model = network()
    options = replace(FAST, held_out=0)
    plain, averaged = (replace(options, ema=decay)(model, context_for(model)) for decay in (0.0, 0.999))

    def moved(each):
        return sum(
            float((mine - theirs).detach().pow(2).sum())
            for mine, theirs in zip(each.graph.parameters(), model.graph.parameters(), strict=True)
        )

    assert accuracy(averaged) > accuracy(model)
    assert 0 < moved(averaged) < moved(plain)


def test_patience_ends_a_training_that_no_longer_gets_better():
    model = network()
    step = replace(FAST, epochs=40, patience=3)(model, context_for(model)).history[-1]
    scores, best = step.details["scores"], step.details["best_epoch"]
    assert len(scores) < 40
    assert scores[best - 1] == max(scores)
    assert len(scores) == scores.index(max(scores)) + 1 + 3


def test_patience_without_a_sample_to_wait_for_is_told():
    model = network()
    with pytest.raises(UserError, match=r"held_out 0\.001 of"):
        replace(FAST, patience=1, held_out=0.001)(model, context_for(model))


@pytest.mark.parametrize("steps", [4, 24])
def test_everything_at_once_resumes_to_the_same_bits(tmp_path, steps):
    model = network()
    whole = EVERYTHING(model, context_for(model))
    with pytest.raises(KeyboardInterrupt):
        EVERYTHING(model, replace(context_for(model, tmp_path), progress=StopAfter(steps, kill=False)))
    resumed = EVERYTHING(model, context_for(model, tmp_path))
    assert digest(resumed) == digest(whole)
    assert resumed.history[-1].details == whole.history[-1].details


def test_a_training_that_stopped_early_does_not_go_on_when_resumed(tmp_path):
    model = network()
    options = replace(FAST, epochs=40, patience=3)
    whole = options(model, context_for(model))
    with pytest.raises(KeyboardInterrupt):
        options(
            model,
            replace(context_for(model, tmp_path), progress=StopAfter(7 * (len(whole.history[-1].details["scores"]) - 1) + 3, kill=False)),
        )
    assert digest(options(model, context_for(model, tmp_path))) == digest(whole)


def test_flips_are_mirrors_of_whole_images():
    images = batch().inputs[0]
    found = Augmentation(({"flip": 0.5},), 0)(batch()).inputs[0]
    mirrored = [torch.equal(mine, theirs.flip(2)) for mine, theirs in zip(found, images, strict=True)]
    same = [torch.equal(mine, theirs) for mine, theirs in zip(found, images, strict=True)]
    assert all(one or other for one, other in zip(mirrored, same, strict=True))
    assert any(mirrored)
    assert any(same)


@given(seed=st.integers(0, 200), share=st.floats(0.05, 0.9))
def test_crops_are_windows_of_the_mirrored_image(seed, share):
    images = batch(samples=3).inputs[0]
    margin = min(7, round(share * 8))
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="reflect")
    found = Augmentation(({"crop": share},), seed)(batch(samples=3)).inputs[0].numpy()
    for mine, theirs in zip(found, padded, strict=True):
        windows = [theirs[:, top : top + 8, left : left + 8] for top in range(2 * margin + 1) for left in range(2 * margin + 1)]
        assert any(np.array_equal(mine, window) for window in windows)


@given(seed=st.integers(0, 200))
def test_mixed_labels_weigh_what_their_samples_do(seed):
    given_batch = batch()
    found = Augmentation(("mixup",), seed)(given_batch)
    own = given_batch.inputs[0]
    if found.share < 0.999:
        partners = (found.inputs[0] - found.share * own) / (1 - found.share)
        nearest = torch.cdist(partners.flatten(1), own.flatten(1)).argmin(1)
        assert torch.equal(found.others, given_batch.labels[nearest])


@given(seed=st.integers(0, 200))
def test_a_pasted_rectangle_weighs_its_area(seed):
    given_batch = batch(size=16)
    found = Augmentation(("cutmix",), seed)(given_batch)
    kept = (found.inputs[0] == given_batch.inputs[0]).all(1).float().mean((1, 2))
    other = found.others != given_batch.labels
    assert torch.allclose(kept[other], torch.tensor(found.share), atol=1e-6)


def test_mixed_targets_of_a_regression_are_mixed_themselves():
    images = batch().inputs[0]
    targets = images.flatten(1)[:, :2].clone()
    found = Augmentation(("mixup",), 0)(Batch((images,), targets))
    torch.testing.assert_close(found.inputs[0].flatten(1)[:, :2], found.labels)
    assert found.others is None


@pytest.mark.parametrize("name", ["flip", "crop", "cutmix"])
def test_pixels_move_only_where_there_are_any_and_labels_can_follow(name):
    augment = Augmentation((name,), 0)
    with pytest.raises(UserError, match=f"{name} is for images"):
        augment(Batch((torch.zeros(4, 10),), torch.zeros(4, dtype=torch.int64)))
    with pytest.raises(UserError, match="would not follow"):
        augment(Batch((torch.zeros(4, 3, 8, 8),), torch.zeros(4, 8, 8, dtype=torch.int64)))


def test_augmentation_learns_too():
    model = network()
    data = arrays_to_data(*blobs())
    trained = replace(FAST, epochs=10, augment=("flip", "crop", {"mixup": 0.1}))(model, context_for(model, data=data))
    assert accuracy(trained) > 0.85


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augment": ("flpi",)}, "did you mean 'flip'"),
        ({"augment": ("flip", {"flip": 0.2})}, "stands there twice"),
        ({"augment": ({"flip": 1.5},)}, "probability"),
        ({"augment": ({"crop": 1.0},)}, "below 1"),
        ({"augment": ({"mixup": 0.0},)}, "above 0"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"precision": "16"}, "precision"),
        ({"milestones": (1.5,)}, "milestones"),
        ({"ema": 1.0}, "ema"),
        ({"patience": 0}, "patience"),
        ({"patience": 2, "held_out": 0.0}, "set held_out above 0"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        Finetune(**options)
