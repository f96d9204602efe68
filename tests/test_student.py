"""Students that are made from the network itself: which blocks go, what is inherited, and that they learn."""

import json

import pytest
import torch
from pruning_networks import digest
from test_training import blobs, context_for
from torch import nn

from compress import cost
from compress.distillation import blocks
from compress.distillation.student import Student
from compress.model import capture
from compress.passes.distill import Distill
from compress.passes.finetune import Finetune
from compress.recipe import build
from targets.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


class Residual(nn.Module):
    """x + f(x), changed in place, as torchvision writes it."""

    def __init__(self, width, strength=1.0):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        nn.init.constant_(self.norm2.weight, strength)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        out += x
        return self.relu(out)


class Network(nn.Module):
    """Blocks that keep their shape, one that doesn't, and a sum of two branches that is none."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.stage = nn.Sequential(Residual(8, 1.0), Residual(8, 0.01), Residual(8, 0.5), Residual(8, 0.02))
        self.left, self.right = nn.Conv2d(8, 8, 1, 2), nn.Conv2d(8, 8, 3, 2, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.stage(self.stem(x))
        return self.head(torch.relu(self.left(x) + self.right(x)).mean((2, 3)))


class Nested(nn.Module):
    """A block within a block."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.outer, self.inner = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        y = torch.relu(self.outer(x))
        return self.head((x + (y + torch.relu(self.inner(y)))).mean((2, 3)))


class Tokens(nn.Module):
    """Transformer blocks, each two sums."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Linear(8, 16)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True, norm_first=True) for _ in range(2))
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        x = self.embed(x.flatten(1, 2))
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1))


@pytest.fixture(scope="module")
def teacher():
    torch.set_num_threads(1)
    start = capture(Network().eval(), (torch.zeros(1, 1, 8, 8),))
    return Finetune(epochs=3, learning_rate=0.003, batch_size=32)(start, context_for(start))


def test_blocks_are_sums_of_a_value_and_what_is_computed_from_it(teacher):
    assert [block.name for block in blocks.find(teacher)] == ["stage.0", "stage.1", "stage.2", "stage.3"]
    tokens = capture(Tokens().eval(), (torch.zeros(1, 1, 8, 8),))
    names = [block.name for block in blocks.find(tokens)]
    assert len(names) == 4
    assert [name[:8] for name in names] == ["layers.0", "layers.0", "layers.1", "layers.1"]


def test_a_graph_without_a_block_is_the_network_whose_block_gives_its_input(teacher):
    block = blocks.find(teacher)[2]
    graph, nodes = blocks.without(teacher, [block])
    module = Network().eval()
    module.load_state_dict(teacher.graph.state_dict())
    module.stage[2] = nn.Identity()
    inputs = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(graph(inputs), module(inputs))
    assert not any(name.startswith("stage.2") for name in graph.state_dict())
    assert set(nodes) == set(graph.graph.nodes)


def test_what_is_missed_least_goes_first(teacher):
    with torch.no_grad():
        graph = teacher.copy_graph()
        for number, strength in enumerate((1.0, 0.01, 0.5, 0.02)):
            graph.get_parameter(f"stage.{number}.norm2.weight").fill_(strength)
            graph.get_parameter(f"stage.{number}.norm2.bias").zero_()
    model = capture(graph, teacher.example)
    gone = blocks.least_important(model, blocks.find(model), 3, context_for(model))
    assert [block.name for block, _ in gone] == ["stage.1", "stage.3", "stage.2"]
    errors = [error for _, error in gone]
    assert errors == sorted(errors)
    assert errors[1] < 0.1 < errors[2]


def test_width_and_depth_make_it_smaller_and_it_learns(teacher):
    before, context = digest(teacher), context_for(teacher)
    made = Distill(student=Student(width=0.5, depth=0.5), epochs=3, learning_rate=0.01, batch_size=32)(teacher, context)
    assert digest(teacher) == before
    step = made.history[-1]
    assert json.dumps(step.options)
    assert step.options["student"] == {"width": 0.5, "depth": 0.5, "criterion": "reconstruction", "multiple_of": 1}
    assert "student: 2 of 4 blocks x + f(x) are left" in step.lines
    assert sum("left out" in line for line in step.lines) == 2
    assert cost.macs(made) < 0.2 * cost.macs(teacher)
    assert made.graph.get_parameter("stem.0.weight").shape == (4, 1, 3, 3)
    assert step.details["losses"][-1] < step.details["losses"][0]
    assert made(torch.zeros(3, 1, 8, 8)).shape == (3, 3)


@pytest.mark.parametrize("network", [Nested, Tokens])
@pytest.mark.parametrize("depth", [0.0, 0.5])
def test_blocks_in_blocks_and_blocks_upon_blocks_go(network, depth):
    model = capture(network().eval(), (torch.zeros(1, 1, 8, 8),))
    student, lines = Student(depth=depth).build(model, context_for(model))
    assert any(f"{len(blocks.find(student))} of {len(blocks.find(model))} blocks" in line for line in lines)
    assert len(blocks.find(student)) <= depth * len(blocks.find(model))
    assert torch.isfinite(student(torch.ones(2, 1, 8, 8))).all()


def test_weights_that_stay_are_inherited(teacher):
    inputs = torch.from_numpy(blobs(64, seed=5)[0])
    context = context_for(teacher)
    wanted = teacher(inputs)
    shallow, lines = Student(depth=0.75).build(teacher, context)
    assert len(blocks.find(shallow)) == 3
    assert lines[-1].startswith("student: MACs ")
    narrow, _ = Student(width=0.75, multiple_of=2).build(teacher, context)
    assert narrow.graph.get_parameter("stem.0.weight").shape[0] == 6
    for student in (shallow, narrow):
        assert float((student(inputs) - wanted).square().mean()) < 0.3 * float(wanted.var(0).mean())


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ({"width": 1.5}, "student: width must be a share"),
        ({"width": 0.0}, "student: width must be above 0"),
        ({}, "student: width and depth are both 1"),
        ({"depth": 0.5, "criterion": "l3"}, "criterion"),
        ({"width": 0.5, "multiple_of": 0}, "multiple_of must be at least 1"),
        ({"with": 0.5}, "student.*with"),
    ],
)
def test_impossible_students_are_refused(student, message):
    with pytest.raises(UserError, match=message):
        build(Distill, {"student": student}, "distill")


def test_a_network_without_blocks_says_so():
    model = capture(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval(), (torch.zeros(1, 1, 8, 8),))
    with pytest.raises(UserError, match="has no block x \\+ f\\(x\\) that keeps its shape; leave 'depth' out"):
        Student(depth=0.5).build(model, context_for(model))
    with pytest.raises(UserError, match="has no channels that could go; leave 'width' out"):
        Student(width=0.5).build(model, context_for(model))
