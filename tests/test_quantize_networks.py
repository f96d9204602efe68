"""Whole networks of many operators: integers throughout, and two runtimes that agree."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from quantized_networks import ARITHMETIC, context_of, model_of, run_file, samples
from torch import nn

from compress.exporters.onnx import Onnx
from compress.exporters.tflite import Tflite
from compress.parity import compare
from compress.passes.quantize import Quantize
from targets.formats import tflite as tflite_format

SAMPLES = 400
CLASSES = 10


class Tokens(nn.Module):
    """A small transformer over words, which looks at the past only."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(32, 16)
        self.places = nn.Parameter(torch.randn(1, 8, 16) * 0.3)
        self.norm = nn.LayerNorm(16)
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        self.last = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = self.words(x) + self.places
        y = self.norm(x)
        y = x + F.scaled_dot_product_attention(self.query(y), self.key(y), self.value(y), is_causal=True)
        return F.softmax(self.last(y[:, -1]), 1)


NETWORKS = {"tokens": (Tokens, (8,), 32)}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_two_runtimes_agree_on_a_whole_network(name, tmp_path):
    build, shape, words = NETWORKS[name]
    original = model_of(build, shape, words)
    model = Quantize()(original, context_of(original, samples(shape, 200, words=words)))
    inputs = samples(shape, SAMPLES, seed=1, words=words)
    artifact = Tflite()(model, tmp_path)
    file = tflite_format.load(artifact.path)
    assert not ARITHMETIC & {tensor.dtype for tensor in file.tensors}
    assert (artifact.inputs[0].dtype, artifact.outputs[0].dtype) == ("int32" if words else "int8", "int8")
    outputs = run_file(artifact, inputs)
    between = compare(run_file(Onnx()(model, tmp_path), inputs), outputs, artifact.outputs[0].scale)
    graph = compare(model(torch.from_numpy(inputs)).numpy(), outputs, artifact.outputs[0].scale)
    real = compare(original(torch.from_numpy(inputs)).numpy(), outputs)
    print(f"{name}: between runtimes {between}, to the graph {graph.largest_steps:.2f} steps, to float {real.relative_error:.3f}")  # noqa: T201  shown by pytest -s
    assert between.agreement >= 0.995
    assert np.isfinite(outputs).all()
