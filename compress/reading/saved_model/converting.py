"""A SavedModel's TFLite file, made once by a process of its own."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compress.store import whole
from targets.cache import cache_folder
from targets.errors import UserError

LIMIT_SECONDS = 900
SCRIPT = Path(__file__).with_name("convert.py")
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Converted:
    """What TensorFlow says a model takes (name, shape with None for open axes, dtype), and the file, if all sizes were known."""

    inputs: tuple[tuple[str, tuple[int | None, ...], str], ...]
    path: Path | None


def converted(folder: Path, shapes: Sequence[Sequence[Shape]] = ()) -> Converted:
    """The float TFLite file of a SavedModel, for one sample, out of edgepress's cache where it was made before.

    `shapes` are those that each input may have: the first that fits is taken where the model leaves axes open. UserError where
    TensorFlow is missing or can't convert the model, and where the model would run code or reach files.
    """
    kept = cache_folder("saved_models") / _key(folder, shapes)
    if not kept.exists():
        with whole(kept) as part:
            answer = _run(folder, part / "model.tflite", shapes)
            (part / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
    told = json.loads((kept / "answer.json").read_text(encoding="utf-8"))
    inputs = tuple((name, tuple(shape), dtype) for name, shape, dtype in told["inputs"])
    path = kept / "model.tflite"
    return Converted(inputs, path if path.exists() else None)


def _key(folder: Path, shapes: Sequence[Sequence[Shape]]) -> str:
    digest = hashlib.sha256(SCRIPT.read_bytes() + json.dumps([list(map(list, possible)) for possible in shapes]).encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(folder)} {content}\n".encode())
    return digest.hexdigest()


def _run(folder: Path, output: Path, shapes: Sequence[Sequence[Shape]]) -> dict[str, Any]:
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            f"{folder}: a SavedModel needs TensorFlow's converter, which is not installed; run: pip install 'edgepress[tensorflow]'"
        )
    command = [sys.executable, "-P", str(SCRIPT), str(folder), str(output), json.dumps(shapes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", check=False, timeout=LIMIT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"{folder}: TensorFlow's converter was not done after {LIMIT_SECONDS} s; is the model meant for an edge device?"
        ) from None
    last = done.stdout.strip().rpartition("\n")[2]
    if done.returncode or not last.startswith("{"):
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise UserError(f"{folder}: TensorFlow's converter broke off: {reason[:300]}; convert it to .tflite by hand and give that file")
    answer: dict[str, Any] = json.loads(last)
    if "problem" in answer:
        raise UserError(f"{folder}: {answer['problem']}")
    return answer
