"""Which file is faster: the interval's law, and races on this machine and on a board whose cycles are counted."""

import json
import subprocess
import sys

import numpy as np
import pytest
from compiler_networks import dense
from hypothesis import given
from hypothesis import strategies as st
from small_files import dense_onnx, dense_tflite

from compress.progress import Silent
from compress.racing import interval, race
from compress.report.race import as_dict
from targets import formats
from targets.base import RunOptions
from targets.errors import UserError

QUICK = RunOptions(warmup=1, repetitions=5, samples=1)


@given(st.lists(st.floats(0.1, 10), min_size=8, max_size=40))
def test_an_interval_holds_its_ratio_and_lies_between_ratios_that_were_seen(ratios):
    found = interval(ratios)
    assert min(ratios) <= found.low <= found.ratio <= found.high <= max(ratios)


@pytest.mark.parametrize("rounds", [8, 12, 25, 40])
def test_an_interval_misses_the_true_ratio_once_in_a_hundred_times_at_most(rounds):
    draw = np.random.default_rng(rounds)
    found = [interval([draw.lognormal(0, 0.3) for _ in range(rounds)]) for _ in range(4000)]
    assert sum(not one.low <= 1 <= one.high for one in found) < 4000 * 0.015


def test_more_rounds_make_it_narrower():
    draw = np.random.default_rng(1)
    ratios = [draw.lognormal(0, 0.1) for _ in range(40)]
    assert interval(ratios).half_width < interval(ratios[:12]).half_width


@pytest.mark.slow
def test_a_file_against_itself_is_never_called_different(tmp_path):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite"))
    for _ in range(20):
        assert race([artifact, artifact], "host", QUICK, 0.02, Silent()).runners[1].verdict(0.02) == "no difference shown"


def test_counted_cycles_are_the_same_each_time_so_one_round_is_enough(tmp_path):
    small = formats.read(dense_tflite(tmp_path / "small.tflite", quantized=True))
    found = as_dict(race([small, small], "nucleo-l4r5zi", QUICK, 0.02, Silent()))
    assert found["rounds"] == 1
    assert [entry["verdict"] for entry in found["files"]] == [None, "no difference shown"]
    assert found["files"][1]["ratio"] == 1
    assert found["files"][1]["low"] is None


def edgepress(*arguments):
    return subprocess.run([sys.executable, "-m", "cli", "race", *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_command_finds_the_faster_file(tmp_path):
    wide, narrow = dense(4096, 1000).write(tmp_path / "wide.tflite"), dense(64, 8).write(tmp_path / "narrow.tflite")
    done = edgepress(wide, narrow, "--repetitions", "5", "--precision", "40", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["files"][1]["verdict"] == "faster"
    assert 1 < found["files"][1]["low"] <= found["files"][1]["ratio"] <= found["files"][1]["high"]
    assert found["rounds"] >= 12


def test_one_file_or_a_board_without_a_clock_is_one_line(tmp_path):
    done = edgepress(dense_tflite(tmp_path / "m.tflite"))
    assert done.returncode == 2
    assert done.stderr.strip() == f"edgepress: {tmp_path / 'm.tflite'}: a race wants two files or more"
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx"))
    with pytest.raises(UserError, match="does not work on nucleo-l4r5zi"):
        race([artifact, artifact], "nucleo-l4r5zi", QUICK, 0.02, Silent())
