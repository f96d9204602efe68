"""`edgepress compare`: two files of one network, tensor by tensor."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from quantized_networks import Network, context_of, model_of, samples, split_of
from torch import nn
from torch.nn import functional as F

import cli
from compress.comparing.compare import compare
from compress.comparing.opened import Traced
from compress.comparing.pairing import pair, to_layout
from compress.exporters.onnx import Onnx
from compress.exporters.tflite import Tflite
from compress.passes.quantize import Quantize
from compress.progress import Silent
from targets.errors import UserError

SHAPE = (3, 8, 8)


def build():
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 5)]
    return Network(lambda x, stem, body, head: head((F.relu(stem(x)) + body(F.relu(stem(x)))).mean((2, 3))), *layers)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The int8 and the float network as TFLite and ONNX, and some samples."""
    folder = tmp_path_factory.mktemp("files")
    model = model_of(build, SHAPE)
    quantized = dataclasses.replace(Quantize()(model, context_of(model, samples(SHAPE, 64))), name="int8")
    made = {(each.name, export.__name__): export()(each, folder).path for each in (model, quantized) for export in (Tflite, Onnx)}
    inputs = samples(SHAPE, 20, seed=7)
    np.savez(folder / "data.npz", x_test=inputs, y_test=np.zeros(20, np.int64), x_calibration=inputs, y_calibration=np.zeros(20, np.int64))
    return made | {"data": folder / "data.npz", "split": split_of(inputs)}


def test_exports_of_one_network_share_every_scale_and_differ_by_a_step(files):
    found = compare(files["int8", "Tflite"], files["int8", "Onnx"], files["split"], Silent())
    assert found.shared_scales
    assert found.agreement == 1.0
    assert found.unpaired[0] == 0
    assert [tensor.name for tensor in found.tensors] == ["layers.0", "layers.1", "add", "mean", "layers.2"]
    assert all(tensor.same_scale and tensor.largest_steps <= 2 and tensor.equal > 0.8 for tensor in found.tensors)


def test_float_files_have_their_layers_in_common(files):
    found = compare(files["network", "Tflite"], files["network", "Onnx"], files["split"], Silent())
    assert not found.shared_scales
    assert {"layers.0", "layers.1", "layers.2"} <= {tensor.name for tensor in found.tensors}
    assert all(tensor.step is None and tensor.relative_error < 1e-5 for tensor in found.tensors)


def test_quantized_against_float_is_measured_in_steps_of_the_integers(files):
    found = compare(files["network", "Onnx"], files["int8", "Onnx"], files["split"], Silent())
    head = next(tensor for tensor in found.tensors if tensor.name == "layers.2")
    assert head.dtypes == ("float32", "int8")
    assert 0.5 < head.largest_steps < 20
    assert not head.same_scale


def test_a_file_is_equal_to_itself(files):
    found = compare(files["int8", "Tflite"], files["int8", "Tflite"], files["split"], Silent())
    assert [(tensor.largest, tensor.equal) for tensor in found.tensors] == [(0.0, 1.0)] * 5


def test_the_command_prints_json_and_a_table(files):
    arguments = ["compare", str(files["int8", "Tflite"]), str(files["int8", "Onnx"]), "--data", str(files["data"]), "--samples", "5"]
    printed = CliRunner().invoke(cli.cli, [*arguments, "--json"], catch_exceptions=False)
    found = json.loads(printed.stdout)
    assert (found["samples"], found["agreement"], found["shared_scales"]) == (5, 1.0, True)
    assert [tensor["name"] for tensor in found["tensors"]][-1] == "layers.2"
    assert "same top-1 on 100.00% of 5 samples; 5 tensors compared, all scales are shared" in CliRunner().invoke(cli.cli, arguments).stdout


def test_networks_with_other_outputs_are_not_compared(files, tmp_path):
    other = dataclasses.replace(model_of(lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), SHAPE), name="other")
    with pytest.raises(UserError, match=r"other\.onnx: gives \[1, 3\] where .*int8\.onnx gives \[1, 5\]; compare like with like"):
        compare(files["int8", "Onnx"], Onnx()(other, tmp_path).path, files["split"], Silent())


@given(st.permutations(range(6)))
def test_pairs_are_found_whatever_the_order(order):
    tensors = [Traced(f"layer{i}", (1, 4, 4, 2 + i // 2), "int8", 0.5 + i, i) for i in range(6)]
    assert pair(tensors, [tensors[i] for i in order]) == [(i, order.index(i)) for i in range(6)]


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
def test_channels_move_last_and_nothing_else(channels, height, width):
    values = np.arange(channels * height * width).reshape(1, channels, height, width)
    moved = to_layout(values, (1, height, width, channels), transposed=True)
    assert torch.equal(torch.from_numpy(moved), torch.from_numpy(values).permute(0, 2, 3, 1))
