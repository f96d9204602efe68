import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_files import dense_onnx, dense_tflite, float_answer, float_samples

from targets import formats, jobs, runner
from targets.base import RunOptions

SOURCE = Path(runner.__file__)


def test_it_is_python_3_7():
    ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 7))


def test_it_needs_nothing_of_this_project():
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names) == {"numpy"}


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
