"""The command as people use it: help with examples, JSON for programs, one line and an exit code for every mistake."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
import torch
import yaml
from torch import nn

import cli
import compress

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A float TFLite and ONNX file, and a .pt2 with data, of a small network."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
    generator = np.random.default_rng(0)
    np.savez(folder / "data.npz", x=generator.standard_normal((60, 1, 8, 8)).astype(np.float32), y=generator.integers(0, 3, 60))
    data = compress.load_data("npz", path=str(folder / "data.npz"))
    model = compress.load(network, data)
    for name in ("tflite", "onnx"):
        artifact = compress.export(model, name, folder)
        artifact.path.rename(folder / f"tiny.{name}")
    torch.export.save(torch.export.export(network, (torch.zeros(1, 1, 8, 8),)), folder / "tiny.pt2")
    return folder


def commands(group=cli.cli, path=()):
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize("path", list(commands()), ids=" ".join)
def test_every_command_has_help_with_an_example_and_json(edgepress, path):
    code, out, _ = edgepress(*path, "--help")
    assert code == 0
    assert "Example:" in out
    assert f"edgepress {' '.join(path)}" in out
    assert "--json" in out


MISTAKES = [
    (["run", "missing.yaml"], "missing.yaml: file does not exist; 'edgepress init'"),
    (["run", "broken.yaml"], "unknown key 'modle'; did you mean 'model'?"),
    (["profile", "missing.tflite"], "missing.tflite"),
    (["profile", "not_a_model.tflite"], "not_a_model.tflite"),
    (["profile", "tiny.tflite", "--target", "nucleo-l4r5"], "no board is called 'nucleo-l4r5'; did you mean 'nucleo-l4r5zi'?"),
    (["profile", "tiny.tflite", "--data", "missing.npz"], "missing.npz"),
    (["profile", "tiny.tflite", "--metric", "acuracy"], "did you mean 'accuracy'?"),
    (["profile", "tiny.tflite", "--set", "kernels"], "give NAME=VALUE"),
    (["profile", "tiny.tflite", "--set", "kernles=reference"], "did you mean 'kernels'?"),
    (["profile", "tiny.tflite", "--data", "digits", "--target", "mine.yaml"], "mine.yaml"),
    (["targets", "show", "pixel8"], "did you mean 'pixel-8'?"),
    (["targets", "check", "not_a_model.tflite", "--target", "host"], "not_a_model.tflite"),
    (["init", "broken.yaml"], "broken.yaml: exists already"),
    (["init", "no/such/folder.yaml"], "can't be written"),
    (["profil"], "No such command 'profil'"),
    (["profile", "tiny.tflite", "--repetitions", "0"], "0 is not in the range"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(arguments) for arguments, _ in MISTAKES])
def test_a_mistake_is_exit_code_2_and_no_traceback(edgepress, tiny, tmp_path, arguments, message):
    (tmp_path / "tiny.tflite").write_bytes((tiny / "tiny.tflite").read_bytes())
    (tmp_path / "not_a_model.tflite").write_bytes(b"not a model at all" * 10)
    (tmp_path / "broken.yaml").write_text("version: 1\nname: x\nmodle: {}\n")
    code, out, err = edgepress(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    if err.startswith("edgepress:"):
        assert err.count("\n") == 1


def test_debug_shows_where_an_error_comes_from():
    done = subprocess.run(
        [sys.executable, "-m", "cli", "run", "none.yaml", "--debug"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert "Traceback" in done.stderr


def recipe(folder, tiny, **changes):
    content = {
        "version": 1,
        "name": "tiny",
        "model": {"source": str(tiny / "tiny.pt2")},
        "data": {"npz": str(tiny / "data.npz")},
        "passes": [],
        "export": ["onnx"],
        "measure": {"repetitions": 3, "warmup": 1},
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_run_writes_a_folder_and_prints_the_report(edgepress, tiny, tmp_path):
    code, out, err = edgepress("run", recipe(tmp_path, tiny))
    assert code == 0, err
    assert {path.name for path in (tmp_path / "runs" / "tiny").iterdir()} == {
        "tiny.onnx", "report.html", "report.md", "report.json", "recipe.lock.yaml",
    }  # fmt: skip
    assert "report.html" in out
    code, out, err = edgepress("run", recipe(tmp_path, tiny), "--json")
    assert json.loads(out)["rows"][0]["target"] == "host"


def test_a_file_on_two_targets_is_compared_with_itself(edgepress, tiny, tmp_path):
    targets = ["host", {"host": {"settings": {"kernels": "reference"}}}]
    code, out, err = edgepress("run", recipe(tmp_path, tiny, passes=[{"quantize": {}}], export=["tflite"], targets=targets), "--json")
    assert code == 0, err
    first, second = json.loads(out)["rows"]
    assert first["across_agreement"] is first["across_steps"] is None
    assert second["across_agreement"] >= 0.9
    assert second["across_steps"] <= 2
    written = (tmp_path / "runs" / "tiny" / "report.md").read_text()
    assert "same as first target" in written
    assert " step" in written


def test_a_missed_budget_is_exit_code_1(edgepress, tiny, tmp_path):
    code, _, err = edgepress("run", recipe(tmp_path, tiny, budgets={"size_kb": 0.001}))
    assert code == 1, err
    assert (tmp_path / "runs" / "tiny" / "report.json").exists()


def test_other_peoples_files_are_never_replaced(edgepress, tiny, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    code, _, err = edgepress("run", recipe(tmp_path, tiny), "--output", "mine")
    assert code == 2
    assert "holds files that are not of an edgepress run" in err
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("shape", [(20, 1, 6, 6), (20, 64)])
def test_data_of_the_wrong_shape_is_told_before_anything_is_written(edgepress, tiny, tmp_path, shape):
    np.savez(tmp_path / "wrong.npz", x=np.zeros(shape, np.float32), y=np.zeros(20, np.int64))
    code, _, err = edgepress("run", recipe(tmp_path, tiny, data={"npz": str(tmp_path / "wrong.npz")}))
    assert code == 2
    assert "shape" in err
    assert err.strip().count("\n") <= 1
    assert not (tmp_path / "runs" / "tiny").exists()


@pytest.mark.parametrize(
    ("labels", "metric", "message"),
    [
        (np.arange(60), "accuracy", "the network tells 3 classes apart"),
        (np.zeros(60, np.float32), "accuracy", "say 'metric: mse'"),
        (np.zeros((60, 2), np.float32), "mse", "labels have shape (2,) a sample, the network's outputs (3,)"),
        (np.zeros(60, np.int64), "own_metric_module:total", "one number is wanted, or one each"),
    ],
)
def test_labels_that_do_not_fit_the_metric_are_told(edgepress, tiny, tmp_path, labels, metric, message):
    (tmp_path / "own_metric_module.py").write_text("def total(predictions, labels):\n    return predictions\n")
    np.savez(tmp_path / "labels.npz", x=np.zeros((60, 1, 8, 8), np.float32), y=labels)
    code, _, err = edgepress("run", recipe(tmp_path, tiny, data={"npz": str(tmp_path / "labels.npz")}, metric=metric))
    assert code == 2
    assert message in err


def test_an_unwritable_folder_is_told_before_any_work(edgepress, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = edgepress("run", recipe(tmp_path, tiny), "--output", "file/run")
    assert code == 2
    assert "can't be written" in err


def test_a_full_disk_leaves_nothing_half_written(tiny, tmp_path):
    """A real limit on file sizes stands for a full disk: the largest file can't be written whole."""
    path = recipe(tmp_path, tiny)
    script = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nimport compress.api, cli\n"
    script += "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))\n"
    script += f"sys.argv = ['edgepress', 'run', {str(path)!r}, '--output', {str(tmp_path / 'out')!r}]\ncli.main()"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(tiny, tmp_path):
    path = recipe(tmp_path, tiny, passes=[{"finetune": {"epochs": 2}}, {"finetune": {"epochs": 5000}}])
    environment = {**os.environ, "EDGEPRESS_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "cli", "run", str(path), "--output", str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        passes = tmp_path / "cache" / "passes"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (list(passes.glob("*/model.json")) and list(passes.glob("*-unfinished/*"))):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the next run goes on from there" in err
    assert "Traceback" not in err
    assert [kept.name for kept in tmp_path.iterdir() if "out" in kept.name] == []
    assert len(list(passes.glob("*/model.json"))) == 1
    assert len(list(passes.glob("*-unfinished/*"))) == 1


def test_profile_compares_with_the_reference_and_saves_what_it_ran(edgepress, tiny, tmp_path):
    saved = tmp_path / "outputs.npz"
    code, out, err = edgepress("profile", tiny / "tiny.onnx", "--json", "--samples", "7", "--repetitions", "3", "--save", saved)
    assert code == 0, err
    row = json.loads(out)["rows"][0]
    assert (row["target"], row["source"], row["accuracy"], row["samples"]) == ("host", "measured", None, 7)
    assert row["port_error"] < 1e-5
    with np.load(saved) as arrays:
        assert arrays["input0"].shape == (7, 1, 8, 8)
        assert arrays["host_output0"].shape == (7, 3)


def test_profile_on_data_gives_accuracy(edgepress, tiny):
    code, out, err = edgepress("profile", tiny / "tiny.tflite", "--data", tiny / "data.npz", "--json", "--repetitions", "3")
    assert code == 0, err
    assert 0 <= json.loads(out)["rows"][0]["accuracy"] <= 1


def test_compile_turns_files_into_c_and_leaves_other_folders_alone(edgepress, tiny, tmp_path):
    artifact = compress.export(compress.apply(compress.load(str(tiny / "tiny.pt2"), npz(tiny)), npz(tiny), "quantize"), "tflite", tmp_path)
    code, out, err = edgepress("compile", artifact.path, "--output", "firmware", "--json")
    assert code == 0, err
    assert json.loads(out)["arena_bytes"] > 0
    assert {"model.json", "CMakeLists.txt", "library.properties", "README.md"} <= {path.name for path in (tmp_path / "firmware").iterdir()}
    assert edgepress("compile", tiny / "tiny.tflite", "--output", "float")[0] == 0
    code, _, err = edgepress("compile", tiny / "tiny.onnx", "--output", "other")
    assert (code, (tmp_path / "other").exists()) == (2, False)
    assert "tiny.onnx" in err
    (tmp_path / "mine").mkdir()
    assert edgepress("compile", artifact.path, "--output", "mine")[0] == 2


def npz(folder):
    return compress.load_data("npz", path=str(folder / "data.npz"))


def test_targets_list_show_and_check(edgepress, tiny):
    names = [board["name"] for board in json.loads(edgepress("targets", "list", "--json")[1])]
    assert {"host", "raspberry-pi-4", "nucleo-l4r5zi", "nano-33-ble", "pixel-8"} <= set(names)
    assert (
        "Cortex-M4" in edgepress("targets", "show", "nucleo-l4r5zi")[1] or "cortex-m4" in edgepress("targets", "show", "nucleo-l4r5zi")[1]
    )
    code, out, _ = edgepress("targets", "check", tiny / "tiny.tflite", "--target", "host", "--json")
    assert (code, json.loads(out)[0]["fits"]) == (0, True)
    code, out, _ = edgepress("targets", "check", tiny / "tiny.onnx", "--target", "nucleo-l4r5zi", "--json")
    assert code == 1
    assert json.loads(out)[0]["problems"][0]["cure"]
    code, out, _ = edgepress("targets", "check", tiny / "tiny.tflite", "-t", "nucleo-l4r5zi", "-t", "nucleo-g0b1re", "--json")
    with_unit, without = (row["cautions"] for row in json.loads(out))
    assert (code, with_unit) == (0, [])
    assert "Cortex-M0+ with the single-cycle multiplier has no floating-point unit; quantize" in without[0]


def test_doctor_names_what_serves_what(edgepress):
    code, out, _ = edgepress("doctor", "--json")
    parts = json.loads(out)
    assert code == 0
    assert {"torch", "ai-edge-litert", "unicorn"} <= {part["part"] for part in parts if part["found"]}
    assert all(part["found"] or part["cure"] for part in parts)


def test_init_writes_a_recipe_that_runs(edgepress, tiny, tmp_path):
    assert edgepress("init", "mine.yaml", "--model", tiny / "tiny.pt2", "--data", tiny / "data.npz")[0] == 0
    text = (tmp_path / "mine.yaml").read_text().replace("epochs: 10", "epochs: 1").replace("calibration: 200", "calibration: 20")
    (tmp_path / "mine.yaml").write_text(text.replace("accuracy_drop: 0.01", "accuracy_drop: 0.99"))
    code, out, err = edgepress("run", "mine.yaml")
    assert code == 0, err
    assert "host" in out
