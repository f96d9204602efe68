"""`edgepress profile` on a phone over a real adbd, with LiteRT behind a stand-in for benchmark_model: needs root and Debian's `adbd`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import alone
import numpy as np
import pytest
from phone_behind_adbd import adbd
from small_files import dense_tflite, int8_answer, int8_samples

from targets.microcontroller.compiler import compile_tflite

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not adbd(), reason="no adbd here: apt install adbd (bookworm-backports), or name it in EDGEPRESS_TEST_ADBD"),
    pytest.mark.skipif(not alone.allowed(), reason="no right to make a network namespace"),
]
HERE = Path(__file__).parent
PROFILE = f"{sys.executable} -m cli profile --target pixel-8 --device adb://127.0.0.1:5555 --repetitions 5 --json"


def on_the_phone(*lines):
    """What `edgepress profile` says to each line of arguments, and what the phone holds in the end."""
    shell = "; ".join([*(f"{PROFILE} {line}" for line in lines), "ls /data/local/tmp/edgepress"])
    command = [sys.executable, HERE / "phone_behind_adbd.py", "sh", "-c", shell]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False, timeout=300)
    decoder, rest, rows = json.JSONDecoder(), done.stdout.strip(), []
    while rest.startswith("{"):
        answer, end = decoder.raw_decode(rest)
        rows += answer["rows"]
        rest = rest[end:].strip()
    return rows, sorted(name.partition("-")[2] for name in rest.split()), done.stderr


def test_a_file_is_pushed_once_timed_and_profiled_over_adb(tmp_path):
    model = dense_tflite(tmp_path / "m.tflite", quantized=True)
    line = f"{model} --set benchmark_model=$BENCHMARK_MODEL"
    (row, again), there, _ = on_the_phone(line, line)
    assert row["source"] == row["latency_source"] == again["source"] == "measured"
    assert row["runner"].startswith("benchmark_model (cpu), threads: 1, no phone, but adbd on Linux")
    assert 0 < row["latency_ms"] <= row["latency_p90_ms"]
    assert row["ram_bytes"] > 0
    assert row["layers"][-1]["operator"] == "Fully Connected (NC, QS8, QC8W) GEMM"
    assert there == ["benchmark_model", "m.tflite"]


def test_compiled_c_gives_outputs_and_times(tmp_path):
    sources = compile_tflite(dense_tflite(tmp_path / "m.tflite", quantized=True), tmp_path / "dense", "dense").path
    samples = int8_samples(9)
    decoded = (samples.astype(np.float32) + 3) * 0.25
    np.savez(tmp_path / "data.npz", x=decoded, y=int8_answer(samples).argmax(-1))
    (row,), there, _ = on_the_phone(f"{sources} --data {tmp_path / 'data.npz'}")
    assert row["accuracy"] == 1
    assert row["latency_ms"] > 0
    assert [name.rpartition("-")[0] for name in there] == ["dense"]


def test_a_program_that_fails_is_one_line(tmp_path):
    rows, _, said = on_the_phone(f"{dense_tflite(tmp_path / 'm.tflite', quantized=True)} --set benchmark_model={shutil.which('false')}")
    assert not rows
    assert said.strip().endswith("m.tflite: benchmark_model can't run it: it ended with code 1 and without a result")
