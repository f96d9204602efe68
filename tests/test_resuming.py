"""`edgepress run` killed in the middle of a training goes on, when it is run again, to the file that it would have written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from compress.progress import Silent
from compress.recipe import load
from compress.running import run_to_folder

ROOT = Path(__file__).parent.parent
TRAINING = {"batch_size": 16, "learning_rate": 0.01, "ema": 0.95, "augment": ["flip", "crop", "mixup", "cutmix"], "losses": ["features"]}


@pytest.fixture
def folder(tmp_path):
    """A network and data."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(144, 3)]
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=generator.standard_normal((300, 1, 8, 8)).astype(np.float32), y=generator.integers(0, 3, 300))
    torch.export.save(torch.export.export(nn.Sequential(*layers).eval(), (torch.zeros(1, 1, 8, 8),)), tmp_path / "tiny.pt2")
    return tmp_path


def recipe(folder, *passes):
    content = {
        "version": 1,
        "name": "tiny",
        "model": {"source": "tiny.pt2"},
        "data": {"npz": "data.npz"},
        "passes": [{name: {"epochs": epochs, **TRAINING}} for name, epochs in passes],
        "export": ["onnx"],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    return folder / "recipe.yaml"


def start(recipe, folder, cache):
    environment = {**os.environ, "EDGEPRESS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "cli", "run", str(recipe), "--output", str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment)


def finish(recipe, folder, cache):
    with start(recipe, folder, cache) as process:
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return (folder / "tiny.onnx").read_bytes()


def uninterrupted(recipe, folder, monkeypatch):
    """The same run in this process."""
    monkeypatch.setenv("EDGEPRESS_CACHE", str(folder / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run_to_folder(load(recipe), folder / "out", Silent())
    torch.set_num_threads(threads)
    return (folder / "out" / "tiny.onnx").read_bytes()


def kill_while_training(recipe, folder, cache, trained_before=0):
    """Lets some epochs of the next training go by and ends the process as a power cut would."""
    with start(recipe, folder, cache) as process:
        deadline = time.monotonic() + 200
        written = set()
        while time.monotonic() < deadline and process.poll() is None and len(written) < 2:
            if len(list(cache.glob("passes/*/model.json"))) == trained_before:
                written |= {path.stat().st_mtime_ns for path in cache.glob("passes/*-unfinished/*.ckpt")}
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert len(list(cache.glob("passes/*-unfinished/*.ckpt"))) == 1
    assert not folder.exists()


def test_a_run_that_was_killed_writes_the_same_file(folder, monkeypatch):
    path = recipe(folder, ("distill", 20))
    kill_while_training(path, folder / "out", folder / "cache")
    assert finish(path, folder / "out", folder / "cache") == uninterrupted(path, folder / "whole", monkeypatch)


@pytest.mark.slow
def test_a_run_of_several_trainings_may_be_killed_in_each(folder, monkeypatch):
    path = recipe(folder, ("distill", 20), ("qat", 20))
    kill_while_training(path, folder / "out", folder / "cache")
    kill_while_training(path, folder / "out", folder / "cache", trained_before=1)
    assert finish(path, folder / "out", folder / "cache") == uninterrupted(path, folder / "whole", monkeypatch)
