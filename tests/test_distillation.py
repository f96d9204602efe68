"""Learning from teachers: who may teach, which values are compared, and that each loss does what its paper says."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pruning_networks import digest
from test_training import Network, accuracy, arrays_to_data, blobs, context_for, network
from torch import nn

from compress.distillation.kinds import KINDS
from compress.distillation.kinds.base import Networks, Seen
from compress.distillation.pairs import embedding, pairs
from compress.distillation.soft import ensemble_targets, soft_targets
from compress.distillation.tapping import tapped
from compress.model import capture
from compress.passes.distill import Distill
from compress.passes.finetune import Finetune
from compress.passes.prune_channels import PruneChannels
from compress.passes.qat import Qat
from compress.recipe import build, plain
from compress.training import Batch
from targets.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = {"epochs": 3, "learning_rate": 0.01, "batch_size": 32}


class Stages(nn.Module):
    """A residual network of two sizes of maps."""

    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.inner = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 1))
        self.down = nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.ReLU())
        self.head = nn.Linear(2 * width, 3)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.down(torch.relu(x + self.inner(x))).mean((2, 3)))


class Blocks(nn.Module):
    """Sequences [N, 8, width] through blocks of one shape."""

    def __init__(self, width=16, blocks=6):
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU()) for _ in range(blocks))
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        x = self.embed(x.flatten(1, 2))
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean(1))


@pytest.fixture(scope="module")
def teacher():
    torch.set_num_threads(1)
    start = network(Stages)
    return Finetune(epochs=5, learning_rate=0.01, batch_size=32)(start, context_for(start))


@pytest.fixture(scope="module")
def student(teacher):
    return PruneChannels(ratio=0.5)(teacher, context_for(teacher))


def test_pairs_are_the_last_values_of_each_size(teacher, student):
    found = pairs(student, teacher)
    assert [(pair.positions, pair.channels[1]) for pair in found] == [(64, 8), (16, 16), (1, 16)]
    assert all(pair.channels[0] <= pair.channels[1] for pair in found)
    assert any(pair.channels[0] < pair.channels[1] for pair in found)
    assert embedding(teacher) == found[-1].teacher


def test_blocks_of_one_shape_are_compared_evenly():
    wide, narrow = (network(Blocks, width=width) for width in (16, 12))
    found = pairs(narrow, wide)
    assert len([pair for pair in found if pair.positions == 8]) == 4
    assert {(pair.axis, pair.channels) for pair in found if pair.positions == 8} == {(2, (12, 16))}
    assert found[-1].teacher == embedding(wide)
    assert {(pair.axis, pair.positions) for pair in pairs(wide, wide)[:-1]} == {(2, 8)}


def test_a_network_of_dense_layers_has_what_goes_into_its_last_layer():
    layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU(), nn.Linear(10, 3), nn.Softmax(1))
    model = capture(layers, (torch.zeros(1, 1, 8, 8),))
    assert [(pair.positions, pair.channels) for pair in pairs(model, model)] == [(1, (10, 10))]
    assert embedding(model) == "relu"


def seen_by(name, student, teacher, count=32):
    images, labels = blobs(count)
    inputs = (torch.from_numpy(images),)
    kind = KINDS.load(name)(Networks(student, teacher, inputs))
    mine, theirs = (tapped(model, names)(*inputs) for model, names in ((student, kind.student_taps), (teacher, kind.teacher_taps)))
    values = [tuple(found[name] for name in names) for (_, found), names in ((mine, kind.student_taps), (theirs, kind.teacher_taps))]
    return kind, Seen(*values, mine[0], Batch(inputs, torch.from_numpy(labels)))


@pytest.mark.parametrize("name", [name for name in KINDS.names() if KINDS.load(name).needs_teacher])
def test_a_loss_vanishes_for_the_teacher_itself_and_for_nobody_else(name, teacher, student):
    kind, seen = seen_by(name, teacher, teacher)
    assert float(kind(seen).detach()) == pytest.approx(0, abs=1e-6)
    kind, seen = seen_by(name, student, teacher)
    assert float(kind(seen).detach()) > 1e-4


def test_hints_start_with_the_best_projection(teacher, student):
    kind, seen = seen_by("features", student, teacher)
    start = float(kind(seen).detach())
    for projection in kind.projections:
        for weight in projection.parameters():
            nn.init.normal_(weight, std=0.1)
    assert start < 0.7 * float(kind(seen).detach())


def test_attention_does_not_mind_how_many_channels_there_are_nor_how_large_values_are(teacher):
    kind, seen = seen_by("attention", teacher, teacher)
    louder = replace(seen, student=tuple(torch.cat([3 * values, 3 * values], 1) for values in seen.student))
    assert float(kind(louder)) == pytest.approx(0, abs=1e-6)


def test_relations_do_not_change_when_all_samples_turn_and_grow(teacher):
    kind, seen = seen_by("relational", teacher, teacher)
    turn, _ = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(0)))
    turned = replace(seen, student=(5 * seen.student[0] @ turn + 3,))
    assert float(kind(turned)) == pytest.approx(0, abs=1e-5)


def test_an_ensembles_answer_is_the_mean_of_its_probabilities():
    outputs, one, other = (torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    together = ((one / 2).softmax(1) + (other / 2).softmax(1)) / 2
    assert torch.allclose(ensemble_targets(outputs, [one, other], 2.0), soft_targets(outputs, 2 * together.log(), 2.0), atol=1e-6)
    assert torch.equal(ensemble_targets(outputs, [one], 2.0), soft_targets(outputs, one, 2.0))


@pytest.mark.parametrize("name", KINDS.names())
@pytest.mark.parametrize("make", [Finetune, Distill, Qat], ids=["finetune", "distill", "qat"])
def test_every_pass_that_trains_takes_every_loss(name, make, student, teacher):
    context = context_for(teacher)
    plain, added = (make(**QUICK, teacher="original", losses=losses)(student, context) for losses in ((), (name,)))
    assert accuracy(added) > 0.5
    assert digest(added) != digest(plain)
    assert added.history[-1].options["losses"] == [name]
    assert not any("kind" in parameter or "projection" in parameter for parameter, _ in added.graph.named_parameters())


def test_a_student_learns_from_inner_values_alone(teacher):
    images, labels = blobs()
    context = replace(context_for(teacher), data=arrays_to_data(images, np.zeros_like(labels)))
    blank = capture(Stages(width=4), (torch.zeros(1, 1, 8, 8),))
    learned = Distill(epochs=8, learning_rate=0.02, batch_size=32, held_out=0, alpha=1.0, losses=({"relational": 2}, "attention"))(
        blank, context
    )
    assert accuracy(learned) > accuracy(blank) + 0.2


def test_losses_that_need_no_teacher_stand_alone(student, teacher):
    trained = Finetune(**QUICK, losses=("self_distillation",))(student, context_for(teacher))
    assert accuracy(trained) > 0.8


def test_a_teacher_may_be_another_file_or_several(student, teacher, tmp_path):
    torch.export.save(
        torch.export.export(Network().eval(), (torch.zeros(2, 1, 8, 8),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)),
        tmp_path / "other.pt2",
    )
    (tmp_path / "my_teachers.py").write_text(
        "from torch import nn\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))\n"
    )
    context = context_for(teacher)
    named = ["other.pt2", "my_teachers:build", ("original", "self"), ("original", "other.pt2")]
    found = [digest(Distill(**QUICK, teacher=each, folder=tmp_path)(student, context)) for each in ("original", *named)]
    assert len(set(found)) == len(found)


def test_a_teacher_that_does_not_take_the_data_is_named(student, teacher, tmp_path):
    (tmp_path / "my_large_teacher.py").write_text("from torch import nn\ndef build():\n    return nn.Flatten().append(1)\n")
    with pytest.raises(UserError, match=r"^teacher: my_large_teacher:build"):
        Distill(**QUICK, teacher="my_large_teacher:build", folder=tmp_path)(student, context_for(teacher))


def test_what_a_teachers_file_holds_counts_for_what_is_kept(tmp_path):
    (tmp_path / "file.onnx").write_bytes(b"one")
    options = Distill(teacher="file.onnx", folder=tmp_path)
    before = options.fingerprint()
    (tmp_path / "file.onnx").write_bytes(b"two")
    assert options.fingerprint() != before
    assert Distill().fingerprint() == ""


def test_a_recipe_names_teachers_in_every_way(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"")
    source = {"source": "a:b", "weights": "w.safetensors"}
    for teacher in ("self", ["original", "self"], source, ["original", source]):
        built = build(Distill, {"teacher": teacher, "losses": ["attention", {"features": 2}]}, "distill", tmp_path)
        assert plain(built)["losses"] == ["attention", {"features": 2.0}]
        assert build(Distill, {key: value for key, value in plain(built).items() if value is not None}, "distill", tmp_path) == built
    with pytest.raises(UserError, match="wieghts"):
        build(Distill, {"teacher": {"source": "a:b", "wieghts": "w"}}, "distill", tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        build(Distill, {"teacher": {"source": "a:b", "weights": "v"}}, "distill", tmp_path)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (Distill, {"teacher": "orignal"}, "did you mean 'original'"),
        (Distill, {"teacher": ()}, "the list is empty"),
        (Distill, {"teacher": ("original", "none")}, "stands in a list"),
        (Distill, {"losses": ("atention",)}, "did you mean 'attention'"),
        (Distill, {"losses": ({"attention": -1.0},)}, "above 0"),
        (Finetune, {"losses": ("attention",)}, "set teacher"),
        (Qat, {"teacher": "none", "losses": ("features",)}, "set teacher"),
    ],
)
def test_impossible_options_are_refused(make, options, message):
    with pytest.raises(UserError, match=message):
        make(**options)


def test_losses_that_find_nothing_are_refused():
    dense = capture(nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU(), nn.Linear(10, 3)), (torch.zeros(1, 1, 8, 8),))
    for losses, word in ((("attention",), "attention needs"), (("self_distillation",), "self_distillation needs")):
        with pytest.raises(UserError, match=word):
            Distill(**QUICK, losses=losses)(dense, context_for(dense))
