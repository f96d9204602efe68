"""The networks of keras.applications, with random weights: read, exported to TFLite and to ONNX, they give what Keras gives."""

import keras_applications
import numpy as np
import pytest
import torch
from keras_applications import LARGE, SMALL
from keras_models import made
from quantized_networks import run_file

import compress.sources
from compress.exporters.onnx import Onnx
from compress.exporters.tflite import Tflite
from compress.sources.base import SourceOptions
from targets.formats import tflite


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return made(tmp_path_factory.mktemp("applications"), SMALL, program=keras_applications.__file__)


def check(folder, name):
    saved = np.load(folder / f"{name}.npz")
    inputs = np.ascontiguousarray(saved["x0"].transpose(0, 3, 1, 2))
    model = compress.sources.load(SourceOptions(f"{name}.keras", folder=folder), (inputs,))
    allowed = 1e-4 * np.abs(saved["y0"]).max()
    np.testing.assert_allclose(model(torch.from_numpy(inputs)).numpy(), saved["y0"], rtol=0, atol=allowed)
    artifact = Tflite()(model, folder)
    for file in (artifact, Onnx()(model, folder)):
        np.testing.assert_allclose(run_file(file, inputs), saved["y0"], rtol=0, atol=allowed)
    assert "TRANSPOSE" not in [operator.name for operator in tflite.load(artifact.path).operators]


@pytest.mark.parametrize("name", SMALL)
def test_a_small_network_is_read_and_exported(small, name):
    check(small, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_every_family_is_read_and_exported(name, tmp_path):
    check(made(tmp_path, [name], "tensorflow", keras_applications.__file__), name)
