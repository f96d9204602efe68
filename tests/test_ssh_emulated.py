"""Raspberry Pis behind a real sshd: their Python is aarch64 under QEMU. Skipped where a part of that is missing."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import alone
import pytest
from board_behind_sshd import sshd
from small_files import dense_onnx, dense_tflite

from targets import boards

HERE = Path(__file__).parent
MISSING = boards.target("raspberry-pi-4").available()
pytestmark = [
    pytest.mark.skipif(sshd() is None, reason="no sshd here; apt-get install openssh-server"),
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.skipif(not alone.allowed(), reason="no right to make a network namespace"),
]
PROFILE = f"{sys.executable} -m cli profile --repetitions 3 --samples 2 --json"


def behind_sshd(*command):
    """What a command prints where `ssh://four` and `ssh://five` are."""
    done = subprocess.run(
        [sys.executable, HERE / "board_behind_sshd.py", *command], cwd=HERE.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.strip()


def test_files_are_measured_on_each_boards_own_kernels(tmp_path):
    tflite, onnx = dense_tflite(tmp_path / "m.tflite", quantized=True), dense_onnx(tmp_path / "m.onnx")
    four = f"{PROFILE} {shlex.quote(str(tflite))} -t raspberry-pi-4 --device ssh://four"
    five = f"{PROFILE} {shlex.quote(str(onnx))} -t raspberry-pi-5 --device ssh://five"
    said = behind_sshd("sh", "-c", f"{four} && {five}")
    first, end = json.JSONDecoder().raw_decode(said)
    rows = first["rows"] + json.loads(said[end:])["rows"]
    assert [row["source"] for row in rows] == [row["latency_source"] for row in rows] == ["measured"] * 2
    names = [row["runner"].rpartition("threads: 1, ")[2] for row in rows]
    assert names == ["Raspberry Pi 4 Model B, emulated by QEMU over SSH", "Raspberry Pi 5, emulated by QEMU over SSH"]
    assert all(row["latency_ms"] > 0 and row["layers"] for row in rows)
