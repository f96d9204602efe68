"""A benchmark's jobs, each in a process of its own, which is ended with all that it started."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
EXCEPTION = re.compile(r"^(?:\w+\.)*(\w*Error|\w*Exception): *(.*)$", re.MULTILINE)
"""The line of a traceback that says what was raised."""


def run(script: str, job: dict[str, Any], folder: Path, limit: float, **environment: str) -> tuple[dict[str, Any] | None, str]:
    """What a script leaves in `result.json` of the folder where `job.json` is; None and the reason where it fails or takes too long.

    `limit` is in seconds.
    """
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(HERE / script), str(folder)],
        env=os.environ | {"PYTHONPATH": str(HERE.parent)} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        _, said = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return None, f"stopped after {limit:g} s"
    finally:
        _end(process)
    answer = folder / "result.json"
    if process.returncode != 0 or not answer.is_file():
        return None, _last_words(process.returncode, said)
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found, ""


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _last_words(code: int, said: str) -> str:
    """One line about a job that failed: the exception that ended it."""
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    raised = EXCEPTION.findall(said)
    return f"{raised[-1][0]}: {raised[-1][1]}" if raised else f"ended with code {code}"
