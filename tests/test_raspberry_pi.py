"""Boards, estimates and marks are tested everywhere; what runs under emulation is skipped where the root file system isn't set up."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_files import dense_onnx, dense_tflite, float_answer, float_samples, int8_answer, int8_samples

from targets import boards, formats
from targets.base import Artifact, RunOptions
from targets.errors import ExportError, UserError
from targets.raspberry_pi import RaspberryPi, emulator, estimate, setup

PI_BOARDS = [name for name in boards.names() if boards.load(name).target == "raspberry_pi"]
FOUR = boards.load("raspberry-pi-4")
MISSING = boards.target("raspberry-pi-4").available()
INTEGERS = Artifact(Path("m.onnx"), "onnx", "", 0, (), (), {"quantized_operators": 3})
emulated = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


def test_the_boards_are_there():
    assert set(PI_BOARDS) >= {"raspberry-pi-zero-2-w", "raspberry-pi-3b-plus", "raspberry-pi-4", "raspberry-pi-5"}


@pytest.mark.parametrize("name", PI_BOARDS)
def test_a_board_has_a_core_that_can_be_emulated_and_constants_with_their_source(name):
    board = boards.load(name)
    assert board.core in emulator.CORES
    assert "cycles_per_instruction" in board.sources
    for bounds in board.model["cycles_per_instruction"].values():
        assert 0 < bounds["low"] < bounds["high"]


@pytest.mark.parametrize("name", PI_BOARDS)
def test_the_constants_give_back_the_published_time_that_they_come_from(name):
    published = {  # MobileNet v1 int8 with 4 threads: milliseconds, GHz of the four cores together, instructions counted
        "cortex-a53": (46.0, 4 * 1.4, 223.62e6),
        "cortex-a72": (24.0, 4 * 1.5, 174.56e6),
        "cortex-a76": (5.0, 2.84 + 3 * 2.42, 63.97e6),
    }
    board = boards.load(name)
    milliseconds, gigahertz, instructions = published[board.core]
    cycles = board.model["cycles_per_instruction"]["int8"]["high"]
    assert instructions * cycles / gigahertz / 1e6 == pytest.approx(milliseconds, rel=0.01)


@given(st.integers(1, 10**10))
def test_an_estimate_lies_in_its_band_and_says_that_it_is_one(instructions):
    guess = estimate.latency(FOUR, INTEGERS, instructions)
    assert guess.details["latency_low_ms"] < guess.latency.p50_ms < guess.details["latency_high_ms"]
    assert guess.latency.source == "estimated"
    assert guess.energy_mj == pytest.approx(guess.latency.p50_ms * FOUR.power_w)
    assert guess.notes[0].startswith("latency: estimated")


def test_a_float_network_takes_more_cycles_for_an_instruction_than_an_integer_one(tmp_path):
    real, integer = formats.read(dense_tflite(tmp_path / "f.tflite")), formats.read(dense_tflite(tmp_path / "i.tflite", quantized=True))
    assert estimate.latency(FOUR, real, 10**6).latency.p50_ms > estimate.latency(FOUR, integer, 10**6).latency.p50_ms
    assert estimate.computes_integers(formats.read(dense_onnx(tmp_path / "q.onnx", quantized=True)))


def test_there_is_no_estimate_without_a_count_or_without_constants():
    assert estimate.latency(FOUR, INTEGERS, None) is None
    assert estimate.latency(replace(FOUR, model={}), INTEGERS, 1000) is None
    with pytest.raises(UserError, match=r"model\.cycles_per_instruction\.int8"):
        estimate.latency(replace(FOUR, model={"cycles_per_instruction": {"int8": 0.5}}), INTEGERS, 1000)


@given(st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**4)), min_size=1, max_size=5), st.integers(0, 2))
def test_marks_give_each_inference_without_what_a_mark_costs(rounds, cut):
    lines, count = [], 0
    for instructions, cost in rounds:
        for number, passed in ((0, 77), (1, cost), (2, instructions + cost)):
            count += passed
            lines.append(f"{number} {count}")
    whole = [instructions for instructions, _ in rounds]
    assert emulator.inferences("\n".join(lines)) == whole
    assert emulator.inferences("\n".join(lines[: len(lines) - cut])) == (whole[:-1] if cut else whole)


def test_each_core_describes_itself_as_four_processors():
    for core in emulator.CORES.values():
        text = core.cpuinfo()
        assert text.count("processor") == 4
        assert f"CPU part\t: {core.part}" in text


def test_without_qemu_nothing_is_measured_and_the_cure_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    target = boards.target("raspberry-pi-4")
    assert "sudo apt install qemu-user && edgepress targets setup raspberry-pi" in str(target.available())
    measurement = target.run(formats.read(dense_tflite(tmp_path / "m.tflite")), [(float_samples(1),)], RunOptions())
    assert measurement.source == "not measured"
    assert measurement.reason == str(target.available())
    with pytest.raises(UserError, match=r"qemu-aarch64 is not installed; run: sudo apt install qemu-user"):
        setup(print)


def test_without_the_root_file_system_the_command_that_makes_it_is_named(tmp_path, monkeypatch):
    program = tmp_path / "qemu-aarch64"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EDGEPRESS_CACHE", str(tmp_path / "cache"))
    problem = boards.target("raspberry-pi-4").available()
    assert str(problem) == "the arm64 root file system is not set up; run: edgepress targets setup raspberry-pi"


def test_a_core_that_cannot_be_emulated_is_told():
    assert "cortex-x9" in str(RaspberryPi(replace(FOUR, core="cortex-x9")).available())


def test_a_file_larger_than_the_memory_does_not_fit(tmp_path):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite"))
    (problem,) = RaspberryPi(replace(FOUR, ram_bytes=100)).check(artifact)
    assert "don't fit the 100 bytes of raspberry-pi-4's memory" in str(problem)
    assert not RaspberryPi(FOUR).check(artifact)


@emulated
def test_an_int8_file_gives_the_specified_integers_and_the_same_count_each_time(tmp_path):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite", quantized=True))
    samples = int8_samples(6)
    first, second = (boards.target("raspberry-pi-4").run(artifact, [(samples,)], RunOptions()) for _ in range(2))
    np.testing.assert_array_equal(first.outputs[0], int8_answer(samples))
    assert first.source == "emulated"
    assert first.latency.source == "estimated"
    assert first.instructions == second.instructions > 100
    assert [(layer.name, layer.operator) for layer in first.layers] == [("runtime", "runtime"), ("y", "FULLY_CONNECTED")]
    assert first.layers == second.layers
    assert "cortex-a72 emulated by QEMU" in first.runner


@emulated
def test_an_onnx_file_runs_on_the_aarch64_kernels(tmp_path):
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx"))
    measurement = boards.target("raspberry-pi-5").run(artifact, [(float_samples(6),)], RunOptions(samples=4))
    np.testing.assert_allclose(measurement.outputs[0], float_answer(float_samples(6))[:4], rtol=1e-5, atol=1e-5)
    assert [(layer.name, layer.operator) for layer in measurement.layers] == [("runtime", "runtime"), ("dense", "Gemm")]
    assert sum(layer.instructions for layer in measurement.layers) == measurement.instructions
    assert 100 < measurement.layers[1].instructions < measurement.layers[0].instructions


@emulated
def test_what_the_runtime_refuses_and_what_does_not_apply_are_errors_of_one_line(tmp_path):
    path = dense_tflite(tmp_path / "m.tflite")
    artifact = formats.read(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ExportError, match=r"m\.tflite: ") as refusal:
        boards.target("raspberry-pi-4").run(artifact, [(float_samples(1),)], RunOptions(layers=False))
    assert "\n" not in str(refusal.value)
    with pytest.raises(UserError, match="no setting is called 'delegate'"):
        boards.target("raspberry-pi-4").run(artifact, [(float_samples(1),)], RunOptions(settings={"delegate": "gpu"}))


@emulated
@pytest.mark.data
@pytest.mark.parametrize("name", ["raspberry-pi-3b-plus", "raspberry-pi-4", "raspberry-pi-5"])
def test_every_core_gives_the_bytes_of_this_machine_on_a_real_int8_network(name):
    path = Path(__file__).parents[2] / "shared" / "data" / "mlperf_tiny" / "kws_ref_model.tflite"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    samples = np.random.default_rng(0).integers(-128, 128, (8, 49, 10, 1)).astype(np.int8)
    artifact = formats.read(path)
    there, here = (boards.target(board).run(artifact, [(samples,)], RunOptions(repetitions=1)) for board in (name, "host"))
    np.testing.assert_array_equal(there.outputs[0], here.outputs[0])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("qemu-aarch64") is None or shutil.which("apt-get") is None, reason="needs qemu-user and apt")
def test_set_up_from_nothing_says_the_size_first_and_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEPRESS_CACHE", str(tmp_path))
    said = []
    folder = setup(said.append)
    assert folder == tmp_path / "raspberry-pi"
    assert [line for line in said if "will be downloaded" in line] == said[1:2]
    measurement = boards.target("raspberry-pi-4").run(
        formats.read(dense_tflite(tmp_path / "m.tflite")), [(float_samples(2),)], RunOptions()
    )
    np.testing.assert_allclose(measurement.outputs[0], float_answer(float_samples(2)), rtol=1e-5, atol=1e-5)
    shutil.rmtree(next(folder.glob("packages-*")))
    said.clear()
    setup(said.append)
    setup(said.append)
    assert len(said) == 1
    assert boards.target("raspberry-pi-4").available() is None
