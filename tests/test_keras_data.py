"""MLPerf Tiny's networks as Keras 2 saved them: the accuracy they were published with, and every pass works on them."""

import sys

import numpy as np
import pytest
import torch
from conftest import DATA
from quantized_networks import run_file, split_of

import compress
import compress.sources
from compress.data.base import Data
from compress.exporters.tflite import Tflite
from compress.sources.base import SourceOptions
from targets.formats import tflite

pytestmark = [pytest.mark.data, pytest.mark.skipif(not DATA.is_dir(), reason="the trained networks are not beside the checkout")]
NETWORKS = {"pretrainedResnet.h5": ("resnet8", 88.1), "vww_96.h5": ("vww", 83.88)}


@pytest.fixture(scope="module")
def datasets():
    sys.path.insert(0, str(DATA))
    import datasets

    yield datasets
    sys.path.remove(str(DATA))


def accuracy(outputs, labels):
    return 100 * float(np.mean(np.asarray(outputs).argmax(1) == labels))


def operators(artifact):
    return [operator.name for operator in tflite.load(artifact.path).operators]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_keras_2_works_everywhere(name, datasets, tmp_path):
    network, published = NETWORKS[name]
    inputs, labels = datasets.evaluation(network)
    model = compress.sources.load(SourceOptions(name, folder=DATA / "mlperf_tiny"), (inputs[:1],))
    outputs = np.concatenate([model(torch.from_numpy(part)).numpy() for part in np.array_split(inputs, 10)])
    assert accuracy(outputs, labels) == pytest.approx(published, abs=0.01)
    some, few = inputs[:200], labels[:200]
    artifact = Tflite()(model, tmp_path / "float")
    np.testing.assert_allclose(run_file(artifact, some), outputs[:200], atol=1e-4)
    split = split_of(datasets.calibration(network))
    data = Data("calibration", split, split, split, "calibration")
    for passes in (["quantize"], [{"prune_channels": {"ratio": 0.3}}, "quantize"]):
        smaller = Tflite()(compress.apply(model, data, *passes), tmp_path / str(len(passes)))
        assert not {"TRANSPOSE", "PAD", "QUANTIZE", "DEQUANTIZE"} & {*operators(artifact), *operators(smaller)}
        if len(passes) == 1:
            assert accuracy(run_file(smaller, some), few) > accuracy(outputs[:200], few) - 1.5
