"""How networks are laid out for training: the same numbers and gradients, whatever convolutions they have."""

import pytest
import torch
from torch import nn

from compress.model import capture
from compress.training.layout import channels_last

pytestmark = pytest.mark.usefixtures("one_thread")


class Convolutions(nn.Module):
    """One to three filters a channel, whole and strided, with biases and without, groups, and a view of what they make."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)
        self.doubled = nn.Conv2d(6, 12, 3, padding=1, groups=6)
        self.strided = nn.Conv2d(12, 36, (3, 5), stride=2, padding=(1, 2), groups=12)
        self.grouped = nn.Conv2d(36, 8, 3, stride=2, groups=4)
        self.head = nn.Linear(8 * 9, 4)

    def forward(self, x):
        for layer in (self.first, self.depthwise, self.doubled, self.strided, self.grouped):
            x = torch.tanh(layer(x))
        return self.head(x.view(x.shape[0], -1))


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        return self.head(x).view(-1, 4)


def learnt(graph, inputs):
    """Outputs and the gradients of every weight and of the inputs."""
    inputs = inputs.clone().requires_grad_()
    for weight in graph.parameters():
        weight.requires_grad_().grad = None
    outputs = graph(inputs)
    outputs.float().square().sum().backward()
    return [outputs.detach().float(), inputs.grad, *(weight.grad for weight in graph.parameters())]


def differences(found, expected):
    return [float((mine - theirs).abs().max() / theirs.abs().max()) for mine, theirs in zip(found, expected, strict=True)]


@pytest.fixture(scope="module")
def images():
    torch.manual_seed(0)
    return torch.randn(5, 3, 16, 16)


def test_outputs_and_gradients_stay(images):
    model = capture(Convolutions().eval(), (images[:1],))
    graph = channels_last(model.copy_graph())
    assert graph.get_parameter("first.weight").is_contiguous(memory_format=torch.channels_last)
    assert max(differences(learnt(graph, images), learnt(model.copy_graph(), images))) < 1e-5


def test_in_16_bits_they_are_as_near_as_before(images):
    model = capture(Convolutions().eval(), (images[:1],))
    exact = learnt(model.copy_graph(), images)
    with torch.autocast("cpu", torch.bfloat16):
        found, before = (differences(learnt(graph, images), exact) for graph in (channels_last(model.copy_graph()), model.copy_graph()))
    assert max(found) < 2 * max(before)


def test_a_network_without_images_is_left_alone():
    model = capture(Words().eval(), (torch.randn(1, 8),))
    graph = model.copy_graph()
    code = graph.code
    assert channels_last(graph).code == code
