"""Trained networks beside the checkout: accuracy kept through quantization and export, and nothing in the file that layout can avoid."""

import importlib
import sys
from collections import Counter

import pytest
import torch
from conftest import DATA
from quantized_networks import context_of, run_file

from compress.evaluation import evaluate
from compress.exporters.onnx import Onnx
from compress.exporters.tflite import Tflite
from compress.metrics import metric
from compress.model import capture
from compress.parity import compare
from compress.passes.quantize import Quantize
from targets.formats import tflite as tflite_format

AVOIDABLE = {"TRANSPOSE", "PAD", "QUANTIZE", "DEQUANTIZE", "RESHAPE"}
AGREEMENT = {"dscnn": 0.988, "resnet8": 0.981, "vww": 0.985, "resnet20": 0.992}
"""Top-1 agreement with the float network of the best quantizer measured on the same samples."""

pytestmark = [pytest.mark.data, pytest.mark.skipif(not (DATA / "networks.py").exists(), reason="no trained networks in ../shared/data")]


@pytest.fixture(scope="module")
def trained_networks():
    sys.path.insert(0, str(DATA))
    yield importlib.import_module("networks"), importlib.import_module("datasets")
    sys.path.remove(str(DATA))


@pytest.mark.parametrize("name", ["dscnn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet8", "vww", "resnet20"))])
def test_a_trained_network_keeps_its_answers_in_a_file_without_detours(name, trained_networks, tmp_path):
    networks, datasets = trained_networks
    inputs, _ = datasets.evaluation(name)
    model = capture(networks.load(name), (torch.from_numpy(inputs[:1]),), name)
    quantized = Quantize()(model, context_of(model, datasets.calibration(name)))
    split, accuracy = context_of(model, inputs).data.evaluation, metric("accuracy")
    reference = evaluate(model, split, accuracy).outputs
    expected = evaluate(quantized, split, accuracy).outputs
    for exporter in (Tflite(), Onnx()):
        artifact = exporter(quantized, tmp_path)
        outputs = run_file(artifact, inputs)
        assert compare(reference, outputs).agreement >= AGREEMENT[name]
        assert compare(expected, outputs).relative_error < 0.02
    operators = Counter(operator.name for operator in tflite_format.load(tmp_path / f"{name}.tflite").operators)
    if name != "resnet20":  # its shortcuts pad channels and its strided convolutions pad on both sides, which TFLite has no option for
        assert not AVOIDABLE & set(operators)
    assert operators["TRANSPOSE"] == operators["QUANTIZE"] == 0
