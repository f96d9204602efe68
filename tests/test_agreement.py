"""`edgepress agree`: one file on several kernels, and where sums of two products leave 16 bits."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis.extra.numpy import arrays
from saturating_files import convolution, dense, images, samples
from small_files import dense_tflite

import cli
from compress.agreement.agree import agree
from compress.agreement.integer_layers import Watch
from compress.agreement.saturation import able, exposed, find, losses
from compress.data.base import Split
from compress.progress import Silent
from targets import boards, formats
from targets.base import RunOptions
from targets.errors import UserError

MISSING = boards.target("x86-64-avx2").available()
emulated = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


def split_of(inputs):
    return Split(len(inputs), lambda numbers: ((inputs[numbers],), np.zeros(len(numbers), np.int64)))


@given(arrays(np.int8, (3, 4)))
def test_a_pair_is_able_where_the_worst_activations_take_it_out_of_int16(weights):
    worst = [
        [max(abs(255 * max(w, 0) + 255 * max(v, 0)) > 32767, 255 * min(w, 0) + 255 * min(v, 0) < -32768) for w, v in row]
        for row in weights.astype(int).reshape(3, 2, 2).tolist()
    ]
    assert able(weights).tolist() == worst


@pytest.mark.parametrize(("make", "weight", "layers"), [(dense, 127, 1), (dense, 64, 0), (convolution, 127, 1), (convolution, -128, 1)])
def test_layers_with_large_weights_are_named(tmp_path, make, weight, layers):
    found = exposed(formats.read(make(tmp_path / "m.onnx", weight)))
    assert len(found.layers if found else ()) == layers


def test_uint8_activations_are_exposed_as_int8_ones_are_and_depthwise_convolutions_are_not(tmp_path):
    assert exposed(formats.read(dense(tmp_path / "u.onnx", 127, "uint8")))
    assert exposed(formats.read(convolution(tmp_path / "d.onnx", 127, depthwise=True))) is None


def test_tflite_files_have_no_such_layers(tmp_path):
    assert find(formats.read(dense_tflite(tmp_path / "m.tflite", quantized=True)), split_of(samples(2)), Silent()) == ()


@emulated
@pytest.mark.parametrize(("make", "given_inputs"), [(dense, samples), (convolution, images)])
def test_the_losses_are_those_of_the_emulated_processor(tmp_path, make, given_inputs):
    """The integer sums less what saturation takes, scaled and rounded, are what ONNX Runtime gives there, step for step."""
    artifact, inputs = formats.read(make(tmp_path / "m.onnx", 127)), given_inputs(1)
    found = exposed(artifact)
    layer, integers = found.layers[0], Watch(found).run([inputs])[0]
    outputs = [
        boards.target(name).run(artifact, [(inputs,)], RunOptions(0, 1, settings={"kernels": kernels}, layers=False)).outputs[0]
        for name, kernels in (("host", "reference"), ("x86-64-avx2", "default"))
    ]
    lost = (losses(layer, integers) / layer.step * 0.5).T.reshape(outputs[0].shape)
    assert np.abs(lost).max() > 0.5
    expected = outputs[0] - lost
    unclamped = np.abs(outputs[0]) < 60
    assert np.abs(outputs[1] - expected)[unclamped].max() <= 0.5


def test_agreement_has_a_row_for_each_board_and_says_what_was_not_measured(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("{name: own, title: Own, target: x86, core: pentium, sources: {core: mine}}", encoding="utf-8")
    found = agree(formats.read(dense(tmp_path / "m.onnx", 20)), ("host", str(own)), split_of(samples(3)), None, Silent())
    assert [answer.board for answer in found.answers] == ["host", "own"]
    assert found.answers[0].difference.largest_steps <= 1
    assert "'pentium' can't be emulated" in found.answers[1].reason
    assert found.exposed == ()


@emulated
def test_where_layers_may_saturate_the_cure_is_tried(tmp_path):
    found = agree(formats.read(dense(tmp_path / "m.onnx", 127)), ("x86-64-avx2",), split_of(samples(3)), None, Silent())
    assert [answer.kernels for answer in found.answers] == ["haswell", "haswell, kernels=precise"]
    default, precise = (answer.difference.largest_steps for answer in found.answers)
    assert default > 1 >= precise


def test_the_command_prints_rows_and_layers_or_json(tmp_path):
    path = str(dense(tmp_path / "m.onnx", 127))
    shown = CliRunner().invoke(cli.cli, ["agree", path, "--target", "host", "--samples", "3"], catch_exceptions=False)
    assert "saturation: ONNX Runtime computes 1 layer" in shown.output
    assert "session.x64quantprecision" in shown.output
    printed = CliRunner().invoke(cli.cli, ["agree", path, "--target", "host", "--samples", "3", "--json"], catch_exceptions=False)
    found = json.loads(printed.stdout)
    assert [row["board"] for row in found["rows"]] == ["host", "host"]
    assert found["may_saturate_without_vnni"][0]["layer"].startswith("classify")


def test_c_is_refused_with_the_cure(tmp_path):
    artifact = formats.read(dense(tmp_path / "m.onnx", 1))
    with pytest.raises(UserError, match=r"give the \.tflite that it was made from"):
        agree(type(artifact)(artifact.path, "c", "", 0, (), ()), ("host",), split_of(samples(1)), None, Silent())
