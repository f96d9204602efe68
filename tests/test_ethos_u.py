"""Ethos-U by vela's estimates: sums, fallbacks, refusals, and nothing left behind."""

import dataclasses
import importlib.util
import tempfile

import numpy as np
import pytest
from conftest import DATA
from tflite_files import Builder

from targets import boards, formats
from targets.base import RunOptions
from targets.boards import Board
from targets.errors import ExportError, UserError
from targets.ethos_u import EthosU

BOARD: Board = boards.load("corstone-300-ethos-u55")
MISSING = EthosU(BOARD).available()
OPTIONS = RunOptions()
estimated = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
WEIGHTS = np.random.default_rng(0).integers(-127, 128, (8, 3, 3, 4)).astype(np.int8)


def network(folder, dtype="int8"):
    """A convolution, an operator that the NPU lacks, and an activation."""
    made = Builder()
    quantized = dtype == "int8"
    scale = 0.05 if quantized else None
    x = made.input((1, 8, 8, 4), scale, 3) if quantized else made.input((1, 8, 8, 4), dtype=dtype)
    filters = made.constant(WEIGHTS, "int8", scale=np.full(8, 0.01)) if quantized else made.constant(WEIGHTS.astype(np.float32), "float32")
    bias = (
        made.constant(np.zeros(8, np.int32), scale=np.full(8, 0.0005)) if quantized else made.constant(np.zeros(8, np.float32), "float32")
    )
    wide = made.tensor((1, 8, 8, 8), dtype, scale, 3, name="wide")
    made.operator("CONV_2D", [x, filters, bias], [wide], "Conv2DOptions", strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1)
    deep = made.tensor((1, 4, 4, 32), dtype, scale, 3, name="deep")
    made.operator("SPACE_TO_DEPTH", [wide], [deep], "SpaceToDepthOptions", blockSize=2)
    made.operator("RELU", [deep], [made.tensor((1, 4, 4, 32), dtype, scale, 3, name="last")])
    return formats.read(made.write(folder / f"{dtype}.tflite"))


def run(artifact, options=OPTIONS, **changes):
    return EthosU(dataclasses.replace(BOARD, **changes)).run(artifact, iter(()), options)


@estimated
def test_estimates_are_marked_and_layers_sum_to_the_whole(tmp_path):
    result = run(network(tmp_path))
    assert (result.source, result.latency.source) == ("estimated", "estimated")
    assert (result.outputs, result.instructions) == (None, None)
    assert "vela" in result.runner
    assert "ethos-u55-128" in result.runner
    assert result.cycles == sum(layer.cycles or 0 for layer in result.layers) > 0
    assert result.latency.p50_ms == pytest.approx(result.cycles / 500_000)
    assert result.layers[0].operator == "Conv2D"
    assert result.layers[0].macs == 8 * 8 * 8 * 3 * 3 * 4
    assert result.ram_bytes >= 8 * 8 * 4 + 8 * 8 * 8
    assert result.flash_bytes > WEIGHTS.size
    assert any("accuracy: none" in note for note in result.notes)


@estimated
def test_operators_that_stay_on_the_cpu_are_named(tmp_path):
    result = run(network(tmp_path))
    assert result.details["cpu_operators"] == ["SpaceToDepth 'deep'"]
    assert any("SpaceToDepth 'deep'" in note and "left out" in note for note in result.notes)
    on_cpu = next(layer for layer in result.layers if layer.name == "deep")
    assert (on_cpu.operator, on_cpu.cycles, on_cpu.latency_ms) == ("SpaceToDepth: on the CPU", None, None)


@estimated
def test_a_network_that_stays_on_the_cpu_altogether_has_no_estimate(tmp_path):
    made = Builder()
    deep = made.tensor((1, 4, 4, 16), "int8", 0.05, 3, name="deep")
    made.operator("SPACE_TO_DEPTH", [made.input((1, 8, 8, 4))], [deep], "SpaceToDepthOptions", blockSize=2)
    result = run(formats.read(made.write(tmp_path / "cpu.tflite")))
    assert (result.cycles, result.latency, result.ram_bytes) == (None, None, None)
    assert result.details["cpu_operators"] == ["SpaceToDepth 'deep'"]


@estimated
@pytest.mark.data
def test_damaged_files_end_in_one_clear_line(tmp_path):
    path = DATA / "mlperf_tiny" / "kws_ref_model.tflite"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    content, places, ended = path.read_bytes(), np.random.default_rng(1), []
    for _ in range(6):
        damaged = bytearray(content)
        for place in places.integers(8, 4000, 4):
            damaged[place] = places.integers(256)
        (tmp_path / "damaged.tflite").write_bytes(damaged)
        try:
            run(formats.read(tmp_path / "damaged.tflite"))
        except UserError as error:
            ended.append(str(error))
    assert ended
    assert all("damaged.tflite: " in line and "\n" not in line for line in ended)


@estimated
def test_two_estimates_are_the_same_and_nothing_is_left_behind(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    artifact = network(tmp_path)
    assert run(artifact) == run(artifact)
    with pytest.raises(ExportError):
        run(artifact, core="ethos-u99")
    assert list(scratch.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"scratch", "int8.tflite"}


@estimated
def test_a_larger_npu_and_another_clock_change_the_estimate(tmp_path):
    artifact = network(tmp_path)
    small, large = run(artifact, core="ethos-u55-32"), run(artifact, core="ethos-u55-256")
    assert small.cycles > large.cycles
    assert run(artifact, core="ethos-u55-32", clock_hz=250_000_000).latency.p50_ms == 2 * small.latency.p50_ms


def test_a_float_network_is_refused_with_the_cure(tmp_path):
    problem = EthosU(BOARD).check(network(tmp_path, "float32"))[0]
    assert "float32.tflite: operator 0 (CONV_2D)" in problem.reason
    assert "quantize" in problem.cure


def test_an_integer_network_fits_and_a_small_flash_does_not(tmp_path):
    artifact = network(tmp_path)
    assert EthosU(BOARD).check(artifact) == []
    assert "bytes of flash" in EthosU(dataclasses.replace(BOARD, flash_bytes=100)).check(artifact)[0].reason


@estimated
def test_an_sram_that_is_too_small_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"vela plans [\d,]+ bytes of SRAM, corstone-300-ethos-u55 has 100"):
        run(network(tmp_path), ram_bytes=100)


@estimated
@pytest.mark.parametrize("changes", [{"core": "ethos-u99"}, {"model": {**BOARD.model, "system_config": "Nowhere"}}])
def test_what_vela_refuses_is_one_clear_line(tmp_path, changes):
    with pytest.raises(ExportError, match=r"int8.tflite: vela can't compile it: .*(ethos-u99|Nowhere)") as caught:
        run(network(tmp_path), **changes)
    assert "\n" not in str(caught.value)


@estimated
def test_a_board_without_the_memories_speed_is_refused(tmp_path):
    with pytest.raises(UserError, match="system_config is missing"):
        run(network(tmp_path), model={})


@estimated
@pytest.mark.parametrize(
    ("options", "message"),
    [(RunOptions(device="/dev/ttyACM0"), "takes no device"), (RunOptions(settings={"kernels": "x"}), "no setting is called 'kernels'")],
)
def test_options_that_mean_nothing_here_are_refused(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        run(network(tmp_path), options)


def test_without_vela_it_is_not_measured_and_the_cure_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    result = run(network(tmp_path))
    assert result.source == "not measured"
    assert "pip install 'edgepress[ethos-u]'" in result.reason
