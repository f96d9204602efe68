import ast
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_files import dense_onnx, dense_tflite, float_answer, float_samples

from targets import formats, jobs, power, runner
from targets.base import Latency, RunOptions

SOURCES = [Path(runner.__file__), Path(power.__file__)]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_it_is_python_3_7(source):
    ast.parse(source.read_text(encoding="utf-8"), feature_version=(3, 7))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_it_needs_nothing_of_this_project(source):
    tree = ast.parse(source.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names) <= {"numpy"}


def run(folder, *flags):
    return subprocess.run([sys.executable, *flags, "runner.py", "."], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def job(tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    return folder


def test_a_pushed_folder_runs_by_itself_with_the_model_beside_the_runner(tmp_path, job):
    """As on a device: the model's path is relative, and nothing of the project can be imported."""
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx"))
    artifact.path.rename(job / "m.onnx")
    jobs.write(job, artifact, [(float_samples(5),)], RunOptions(warmup=0, repetitions=2), model="m.onnx")
    done = run(job)
    assert (done.returncode, done.stderr) == (0, "")
    np.testing.assert_allclose(runner.load_arrays(job / "outputs-00000.npz")[0], float_answer(float_samples(5)), rtol=1e-5, atol=1e-5)
    result = json.loads((job / "result.json").read_text())
    assert len(result["latency_ms"]) == 2
    assert sorted(path.name for path in job.iterdir()) == [
        "inputs-00000.npz",
        "job.json",
        "m.onnx",
        "outputs-00000.npz",
        "power.py",
        "result.json",
        "runner.py",
    ]


def test_a_machine_without_a_runtime_says_which_to_install(tmp_path, job):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite"))
    jobs.write(job, artifact, [(float_samples(1),)], RunOptions())
    (job / "ai_edge_litert.py").write_text("raise ModuleNotFoundError('hidden')", encoding="utf-8")
    assert run(job).returncode == 1
    error = json.loads((job / "result.json").read_text())["error"]
    assert error == "LookupError: no runtime for .tflite files here; install one with: pip install ai-edge-litert"


@pytest.mark.skipif(os.name != "posix" or not Path("/proc/self/status").exists(), reason="marks are Linux system calls")
def test_marks_are_calls_that_a_real_kernel_ignores(tmp_path, job):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite"))
    jobs.write(job, artifact, [(float_samples(3),)], RunOptions(warmup=1, repetitions=2), mark=True)
    assert run(job).returncode == 0
    np.testing.assert_allclose(jobs.outputs(job)[0], float_answer(float_samples(3)), rtol=1e-5, atol=1e-5)
    assert json.loads((job / "result.json").read_text())["latency_ms"] == []


def test_memory_is_what_loading_added_and_not_what_was_there(tmp_path, job):
    artifact = formats.read(dense_tflite(tmp_path / "m.tflite"))
    jobs.write(job, artifact, [(float_samples(1),)], RunOptions(warmup=0, repetitions=1))
    run(job)
    ram = json.loads((job / "result.json").read_text())["ram_bytes"]
    assert 0 < ram < 50_000_000  # numpy and LiteRT alone hold more than that


@given(st.integers(10, 400), st.integers(0, 2**32 - 1))
def test_bounds_hold_the_median_and_are_wider_than_a_coverage_of_95_percent_needs(count, seed):
    times = list(np.random.default_rng(seed).lognormal(size=count))
    low, high = runner.bounds(times)
    assert low <= np.median(times) <= high
    inside = sorted(times).index(high) - sorted(times).index(low)
    below = sorted(times).index(low)
    outside = 2 * sum(math.comb(count, k) for k in range(below + 1)) / 2**count
    assert inside > 0
    assert outside <= 0.06  # the true median lies beyond either end with less than this


def test_fewer_than_ten_times_say_nothing_of_precision():
    assert runner.bounds([1.0] * 9) is None


def test_repetitions_go_on_until_the_median_is_as_precise_as_asked(tmp_path, job):
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx"))
    jobs.write(job, artifact, [(float_samples(1),)], RunOptions(warmup=0, repetitions=5, precision=0.5))
    assert run(job).returncode == 0
    times = json.loads((job / "result.json").read_text())["latency_ms"]
    low, high = runner.bounds(times)
    assert len(times) % 5 == 0
    assert high - low <= np.median(times)


def test_a_precision_out_of_reach_is_told():
    latency = Latency.of([1.0, 3.0] * 10)
    (note,) = jobs.notes(latency, RunOptions(precision=0.02))
    assert note == "latency: ±50 % after 20 repetitions, not ±2 %; is the machine busy?"
    assert jobs.notes(Latency.of([1.0] * 5), RunOptions(precision=0.02)) == ("latency: 5 repetitions are too few to say how precise it is",)
    assert jobs.notes(latency, RunOptions()) == ()


def test_rare_slow_inferences_are_told():
    (note,) = jobs.notes(Latency.of([1.0] * 95 + [4.0] * 5), RunOptions())
    assert note == "latency: one inference in a hundred took 4 times the median or more: others had the core"


def test_inferences_that_waited_for_a_core_are_told(tmp_path, job):
    (note,) = jobs.core_note({"core_share": 0.31})
    assert note.startswith("latency: inferences had a core for 31 % of the time")
    assert jobs.core_note({"core_share": 0.98}) == jobs.core_note({"core_share": None}) == ()
    jobs.write(job, formats.read(dense_onnx(tmp_path / "m.onnx")), [(float_samples(1),)], RunOptions(warmup=0, repetitions=5))
    run(job)
    assert 0 < json.loads((job / "result.json").read_text())["core_share"] < 1.5
