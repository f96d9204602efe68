"""BatchNorms in the layers before them: the same function, and a line for each."""

import pytest
import torch
from torch import nn

from compress.context import Context
from compress.data.base import Data, Split
from compress.metrics import metric
from compress.model import capture
from compress.passes.fold_batchnorm import FoldBatchnorm


class Network(nn.Module):
    """A BatchNorm behind everything that one can follow."""

    def __init__(self):
        super().__init__()
        self.conv, self.conv_norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.up, self.up_norm = nn.ConvTranspose2d(4, 6, 2, 2), nn.BatchNorm2d(6, affine=False)
        self.grouped, self.grouped_norm = nn.ConvTranspose2d(6, 6, 2, groups=2), nn.BatchNorm2d(6)
        self.joined_norm, self.last_norm = nn.BatchNorm2d(12), nn.BatchNorm1d(12)
        self.linear, self.linear_norm = nn.Linear(12, 5), nn.BatchNorm1d(5)
        self.tokens, self.tokens_norm = nn.Linear(5, 5), nn.BatchNorm1d(5)

    def forward(self, x):
        x = torch.relu(self.conv_norm(self.conv(x)))
        x = self.up_norm(self.up(x))
        x = self.grouped_norm(self.grouped(x))
        x = self.joined_norm(torch.cat([x, torch.relu(x)], 1))
        x = self.last_norm(torch.relu(x).flatten(2)).mean(2)
        x = self.linear_norm(self.linear(x))
        return self.tokens_norm(self.tokens(x.unsqueeze(1).expand(-1, 5, -1))).flatten(1)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = Network()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return capture(network.eval(), (torch.zeros(1, 3, 8, 8),))


@pytest.fixture(scope="module")
def folded(model):
    split = Split(0, lambda rows: None)  # noqa: ARG005  no data is needed
    return FoldBatchnorm()(model, Context(Data("none", split, split, split, "none"), model, metric("accuracy")))


def test_the_function_stays_and_no_batchnorm_is_left(model, folded):
    inputs = torch.randn(7, 3, 8, 8)
    torch.testing.assert_close(folded(inputs), model(inputs), rtol=1e-4, atol=1e-5)
    assert "batch_norm" in model.graph.code
    assert "batch_norm" not in folded.graph.code
    assert not [name for name, _ in folded.graph.named_buffers()]


def test_each_says_where_it_went(folded):
    assert folded.history[-1].lines == (
        "conv_norm: folded into conv",
        "up_norm: folded into up",
        "grouped_norm: becomes a 1x1 convolution of each channel, because grouped is transposed and grouped",
        "joined_norm: becomes a 1x1 convolution of each channel, because cat comes before it",
        "last_norm: becomes a multiplication and an addition, because flatten comes before it",
        "linear_norm: folded into linear",
        "tokens_norm: becomes a multiplication and an addition, because its channels aren't those of tokens",
    )


def test_all_weights_still_learn(folded):
    graph = folded.copy_graph()
    graph(torch.randn(4, 3, 8, 8)).square().sum().backward()
    parameters = dict(graph.named_parameters())
    assert {"conv.weight", "conv.bias", "linear.bias"} <= parameters.keys()
    assert all(float(parameter.grad.abs().sum()) > 0 for parameter in parameters.values())
