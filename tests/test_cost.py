"""The cost of layers, counted by hand."""

import pytest
import torch
from torch import nn
from torch.ao.quantization.fx import _decomposed  # noqa: F401  defines the quantized_decomposed operators

from compress.cost import layers, macs, parameters
from compress.model import Model, capture


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = self.up(self.depthwise(torch.relu(self.norm(self.stem(x)))))
        return self.head(x.mean((2, 3)))


def test_rows_counted_by_hand():
    model = capture(Small(), (torch.zeros(1, 3, 8, 8),))
    rows = {row.name: (row.operator, row.macs, row.parameters) for row in layers(model)}
    assert rows == {
        "stem": ("conv2d", 3 * 8 * 9 * 16, 3 * 8 * 9),
        "norm": ("batch_norm", 0, 16),
        "depthwise": ("conv2d", 8 * 9 * 16, 8 * 9 + 8),
        "up": ("conv_transpose2d", 8 * 4 * 4 * 16, 8 * 4 * 4 + 4),
        "head": ("linear", 4 * 5, 25),
    }
    assert parameters(model) == sum(weight.numel() for weight in Small().parameters())
    assert macs(model) == sum(row.macs for row in layers(model))


def test_counting_leaves_the_model_as_it_was():
    model = capture(Small(), (torch.zeros(1, 3, 8, 8),))
    before = str(model.graph.graph), [node.meta.get("val") for node in model.graph.graph.nodes]
    layers(model)
    assert (str(model.graph.graph), [node.meta.get("val") for node in model.graph.graph.nodes]) == before


def test_shared_weights_are_counted_once_and_multiplied_twice():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x):
            return self.layer(torch.relu(self.layer(x)))

    model = capture(Shared(), (torch.zeros(1, 6),))
    assert (macs(model), parameters(model)) == (72, 42)


def test_products_and_attention():
    class Attention(nn.Module):
        def forward(self, query, key):
            return nn.functional.scaled_dot_product_attention(query, key, key) @ key.transpose(-1, -2)

    model = capture(Attention(), (torch.zeros(1, 2, 5, 4), torch.zeros(1, 2, 7, 4)))
    assert [row.macs for row in layers(model)] == [2 * (2 * 5 * 7 * 4), 2 * 5 * 7 * 4]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")
def test_recurrent_layers(kind):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = kind(5, 7, batch_first=True)

        def forward(self, x):
            return self.layer(x)[0]

    gates = {nn.LSTM: 4, nn.GRU: 3}[kind]
    model = capture(Recurrent(), (torch.zeros(1, 6, 5),))
    assert macs(model) == 6 * gates * 7 * (5 + 7)
    assert parameters(model) == gates * 7 * (5 + 7 + 2)


def test_quantized_graph_counts_weights_and_not_scales():
    model = capture(nn.Conv2d(3, 4, 3, bias=False), (torch.zeros(1, 3, 5, 5),))
    graph = model.copy_graph()
    weight = next(node for node in graph.graph.nodes if node.op == "get_attr")
    graph.register_buffer("integers", torch.zeros(4, 3, 3, 3, dtype=torch.int8))
    graph.register_buffer("scales", torch.ones(4))
    graph.register_buffer("zeros", torch.zeros(4, dtype=torch.int64))
    with graph.graph.inserting_before(weight):
        operands = [graph.graph.get_attr(name) for name in ("integers", "scales", "zeros")]
        real = graph.graph.call_function(
            torch.ops.quantized_decomposed.dequantize_per_channel.default, (*operands, 0, -128, 127, torch.int8)
        )
    weight.replace_all_uses_with(real)
    graph.graph.erase_node(weight)
    graph.recompile()
    quantized = Model(graph=graph, example=model.example, stage="quantized")
    assert (macs(quantized), parameters(quantized)) == (macs(model), parameters(model)) == (4 * 27 * 9, 108)
