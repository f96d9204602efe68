"""A Raspberry Pi behind a real sshd: its Python is aarch64 under QEMU. Skipped where a part of that is missing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_files import dense_onnx, dense_tflite

from targets import boards
from targets.cache import cache_folder

HERE = Path(__file__).parent
SSHD = shutil.which("sshd") or shutil.which("/usr/sbin/sshd")
MISSING = boards.target("raspberry-pi-4").available()
NAMESPACE = ["unshare", "--net", "--mount"]
ALLOWED = bool(shutil.which("unshare")) and subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
pytestmark = [
    pytest.mark.skipif(SSHD is None, reason="no sshd here; apt-get install openssh-server"),
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.skipif(not ALLOWED, reason="no right to make a network namespace"),
]


def profiled(folder, *files):
    """What `edgepress profile` says of the files on the board, each in its own run."""
    folder.mkdir()
    environment = os.environ | {"EDGEPRESS_CACHE": str(cache_folder()), "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}"}
    line = f"set -e; for FILE in {' '.join(map(str, files))}; do "
    line += f"{sys.executable} -m cli profile $FILE --target raspberry-pi-4 --device $DEVICE --repetitions 3 --samples 2 --json; done"
    command = [*NAMESPACE, sys.executable, HERE / "board_behind_sshd.py", SSHD, folder, "sh", "-c", line]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    decoder, rest, rows = json.JSONDecoder(), done.stdout.strip(), []
    while rest:
        answer, end = decoder.raw_decode(rest)
        rows += answer["rows"]
        rest = rest[end:].strip()
    return rows


def test_files_are_measured_on_its_own_kernels(tmp_path):
    rows = profiled(tmp_path / "board", dense_tflite(tmp_path / "m.tflite", quantized=True), dense_onnx(tmp_path / "m.onnx"))
    assert [row["source"] for row in rows] == ["measured", "measured"]
    assert all("Raspberry Pi 4 Model B, emulated by QEMU over SSH" in row["runner"] for row in rows)
    assert all(row["latency_source"] == "measured" and row["latency_ms"] > 0 for row in rows)
    assert rows[1]["layers"]
