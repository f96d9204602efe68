"""Floating-point TFLite files as sources: lifted to torch, they give what LiteRT gives, and every pass works on them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from quantized_networks import CASES, IMAGE, Network, context_of, model_of, run_file, samples, split_of
from torch import nn

import compress
from compress.data.base import Data
from compress.exporters.tflite import Tflite
from compress.parity import compare
from compress.passes.quantize import Quantize
from targets.errors import UserError
from targets.formats import tflite as tflite_format


def data_of(inputs):
    split = split_of(inputs)
    return Data("random", split, split, split, "random")


MORE = {
    "same padding": (IMAGE, lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(4, 6, 3, 2), nn.ReLU6())),
    "flatten an image": (IMAGE, lambda: nn.Sequential(nn.Conv2d(4, 3, 3), nn.Flatten(), nn.Linear(108, 5))),
    "mean of one axis": (IMAGE, lambda: Network(lambda x: x.mean(2))),
    "channels concatenated": (IMAGE, lambda: Network(lambda x: torch.cat([x, F.relu(x)], 1))),
    "softmax of channels": (IMAGE, lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.Softmax(1))),
    "transposed": (IMAGE, lambda: nn.ConvTranspose2d(4, 3, 4, 2, 1)),
    "constants that broadcast": (IMAGE, lambda: Network(lambda x: x * torch.arange(4.0).reshape(4, 1, 1) + 0.5)),
}
FAMILIAR = (
    *(
        "conv2d",
        "conv2d dilated",
        "conv2d grouped",
        "conv2d depthwise",
        "conv2d strided",
        "linear",
        "add",
        "sub",
        "mul",
        "cat",
        "split",
        "pad",
    ),
    *("mean", "sum", "max pool", "average pool", "nearest", "bilinear", "relu6", "leaky relu", "hardswish", "sigmoid", "gelu", "softmax"),
)
READ = {name: (CASES[name].shape, CASES[name].build) for name in FAMILIAR} | MORE
QUICK = {"conv2d depthwise", "conv2d strided", "linear", "cat", "mean", "average pool", "bilinear", *MORE}


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in READ])
def test_a_lifted_network_gives_what_the_file_gives(name, tmp_path):
    shape, build = READ[name]
    inputs = samples(shape, 4)
    artifact = Tflite()(model_of(build, shape), tmp_path)
    model = compress.load(artifact.path, data_of(inputs))
    outputs = model(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(outputs, run_file(artifact, inputs).reshape(outputs.shape), rtol=1e-4, atol=1e-5)
    assert model.free_batch


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        return self.head(torch.relu(x + self.body(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def original():
    return model_of(Classifier, IMAGE)


def test_a_lifted_network_is_pruned_and_quantized_like_any(original, tmp_path):
    inputs = samples(IMAGE, 64)
    data = data_of(inputs)
    model = compress.load(Tflite()(original, tmp_path).path, data)
    assert {"body.weight", "body.bias", "head.weight"} <= {name for name, _ in model.graph.named_parameters()}
    pruned = compress.apply(model, data, {"prune_channels": {"ratio": 0.5}}, "quantize")
    assert pruned.graph.get_buffer("body.weight").shape == (4, 4, 3, 3)
    there, here = (Quantize()(each, context_of(each, inputs)) for each in (original, model))
    values = torch.from_numpy(inputs)
    assert compare(there(values).numpy(), here(values).numpy()).agreement > 0.95
    files = [tflite_format.load(Tflite()(each, tmp_path / name).path) for each, name in ((there, "torch"), (here, "lifted"))]
    first, second = ([operator.name for operator in file.operators] for file in files)
    assert first == second


def test_halves_become_real_numbers(original, tmp_path):
    inputs = samples(IMAGE, 8)
    halved = Quantize(scheme="float16")(original, context_of(original, inputs))
    model = compress.load(Tflite()(halved, tmp_path).path, data_of(inputs))
    values = torch.from_numpy(inputs)
    np.testing.assert_allclose(model(values).numpy(), halved(values).numpy(), rtol=1e-4, atol=1e-5)
    assert model.graph.get_parameter("body.weight").dtype == torch.float32


def test_data_of_another_shape_are_refused(original, tmp_path):
    with pytest.raises(UserError, match=r"takes samples of shape \[8, 8, 4\], the data's are \[3, 5, 5\]"):
        compress.load(Tflite()(original, tmp_path).path, data_of(samples((3, 5, 5), 2)))


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_is_one_clear_line(seed, original, tmp_path):
    inputs = samples(IMAGE, 2)
    path = Tflite()(original, tmp_path).path
    content, random = bytearray(path.read_bytes()), np.random.default_rng(seed)
    if seed % 2:
        content = content[: random.integers(8, len(content))]
    else:
        for place in random.integers(8, min(2000, len(content)), 8):
            content[place] ^= int(random.integers(1, 256))
    path.write_bytes(content)
    said = []
    try:
        compress.load(path, data_of(inputs))
    except UserError as error:
        said = str(error).splitlines()
    assert len(said) <= 1
