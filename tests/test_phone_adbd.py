"""A real adbd, alone in a network namespace, and a stand-in for benchmark_model that times LiteRT: needs root and Debian's `adbd`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_files import dense_tflite

from targets.microcontroller.compiler import compile_tflite

ADBD = os.environ.get("EDGEPRESS_TEST_ADBD") or shutil.which("adbd", path="/usr/lib/android-sdk/platform-tools")
ROOT = os.name == "posix" and os.geteuid() == 0 and shutil.which("unshare") is not None

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ADBD, reason="adbd is not installed: apt install adbd (bookworm-backports), or name it in EDGEPRESS_TEST_ADBD"),
    pytest.mark.skipif(not ROOT, reason="a network namespace needs root and unshare"),
]
HERE = Path(__file__).parent
DATA = Path("/data")


@pytest.fixture
def mount_point():
    """Android's /data: a folder that adbd's namespace mounts over, and that is not left behind."""
    there = DATA.exists()
    DATA.mkdir(exist_ok=True)
    yield
    if not there:
        DATA.rmdir()


@pytest.mark.usefixtures("mount_point")
def test_a_file_is_pushed_once_timed_and_profiled_over_adb(tmp_path):
    program = tmp_path / "benchmark_model"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "benchmark_model_stand_in.py"} "$@"\n', encoding="utf-8")
    model = dense_tflite(tmp_path / "m.tflite", quantized=True)
    command = ["unshare", "--net", "--mount", sys.executable, str(HERE / "phone_in_namespace.py"), str(ADBD), str(program), str(model)]
    command.append(str(compile_tflite(model, tmp_path / "dense", "dense").path))
    environment = {**os.environ, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    measured = told["measured"]
    assert measured["source"] == "measured"
    assert measured["latency"]["source"] == "measured"
    assert measured["latency"]["repetitions"] == 5
    assert 0 < measured["latency"]["p50_ms"] <= measured["latency"]["p90_ms"]
    assert measured["ram_bytes"] > 0
    assert [(layer["name"], layer["operator"]) for layer in measured["layers"]] == [("y", "FULLY_CONNECTED")]
    assert told["again"]["source"] == "measured"
    assert sorted(name.partition("-")[2] for name in told["pushed"]) == ["benchmark_model", "dense-x86_64", "m.tflite"]
    assert (told["right"], told["repetitions"]) == (True, 5)
    assert "m.tflite: benchmark_model can't run it: ERROR" in told["refusal"]
