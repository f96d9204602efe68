"""What every pass, exporter, board and recipe must keep, found by listing their folders: a new plugin is tested without an edit here."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

import compress
from compress.data.base import Data
from compress.exporters import EXPORTERS
from compress.passes import PASSES
from compress.progress import Silent
from compress.recipe import build
from compress.recipe import load as load_recipe
from compress.report.content import Row
from compress.running import run_to_folder
from targets import boards, formats
from targets.base import Measurement, Problem, RunOptions
from targets.errors import UserError

RECIPES = sorted((Path(__file__).parent.parent / "recipes").glob("*.yaml"))
QUICK = {"epochs": 1}
"""What keeps a pass short, for those that would take longer."""


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        self.down = nn.Sequential(nn.Conv2d(8, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
        self.classify = nn.Linear(16, 10)

    def forward(self, x):
        x = self.stem(x)
        return self.classify(self.down(torch.relu(x + self.body(x))).mean((2, 3)))


@pytest.fixture(scope="module")
def data() -> Data:
    whole = compress.load_data("digits")
    return dataclasses.replace(
        whole, training=whole.training.first(128), calibration=whole.calibration.first(64), evaluation=whole.evaluation.first(64)
    )


@pytest.fixture(scope="module")
def model(data):
    torch.manual_seed(0)
    return compress.load(Network(), data)


@pytest.fixture(scope="module")
def quantized(model, data):
    return compress.apply(model, data, "quantize")


def digest(model):
    content = hashlib.sha256(model.graph.code.encode())
    for name, tensor in sorted(model.graph.state_dict().items()):
        content.update(name.encode() + tensor.numpy().tobytes())
    return content.hexdigest()


@pytest.mark.parametrize("plugins", [PASSES, EXPORTERS], ids=lambda plugins: plugins.word)
def test_options_are_frozen_and_checked_when_they_are_built(plugins):
    for name in plugins.names():
        cls = plugins.load(name)
        options = cls()
        for field in dataclasses.fields(cls):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(options, field.name, None)
            with pytest.raises(UserError, match=f"{name}.*{field.name}|{field.name}.*{name}"):
                build(cls, {field.name: object()}, name)
        with pytest.raises(UserError, match="unknown key 'no_such_option'"):
            build(cls, {"no_such_option": 1}, name)


@pytest.mark.parametrize("name", PASSES.names())
def test_a_pass_gives_a_new_model_and_leaves_the_old_one_alone(name, model, quantized, data):
    cls = PASSES.load(name)
    model = quantized if cls.takes == "quantized" else model
    options = {key: value for key, value in QUICK.items() if getattr(cls, key, 0) > value}
    before = digest(model)
    result = compress.apply(model, data, {name: options})
    assert digest(model) == before
    assert result is not model
    assert digest(result) != before
    assert [step.name for step in result.history] == [*(step.name for step in model.history), name]
    assert result.history[-1].lines
    assert json.dumps(result.history[-1].options)
    inputs, _ = next(data.evaluation.batches(5))
    assert result(*map(torch.from_numpy, inputs)).shape == (5, 10)


@pytest.mark.parametrize("stage", ["float", "int8"])
@pytest.mark.parametrize("name", EXPORTERS.names())
def test_an_exporters_file_is_accepted_and_run_by_a_target(name, stage, model, quantized, data, tmp_path):
    artifact = compress.export(quantized if stage == "int8" else model, name, tmp_path)
    assert artifact.format == name
    assert [path.name for path in tmp_path.iterdir()] == [artifact.path.name]
    again = formats.read(artifact.path)
    assert (again.sha256, again.bytes) == (artifact.sha256, artifact.bytes)
    takers = [board for board in boards.names() if name in boards.target(board).formats and not boards.target(board).check(artifact)]
    assert takers
    row = compress.profile(artifact, "nucleo-l4r5zi" if name == "c" else "host", data, options=RunOptions(1, 2))
    assert row.measurement.source in {"measured", "emulated"}
    assert len(row.evaluation.outputs) == 64


@pytest.mark.parametrize("name", boards.names())
def test_a_board_answers_without_hardware(name, quantized, tmp_path):
    target = boards.target(name)
    assert target.formats
    missing = target.available()
    assert missing is None or (isinstance(missing, Problem) and missing.reason and missing.cure)
    artifact = compress.export(quantized, "tflite", tmp_path)
    assert all(problem.reason and problem.cure for problem in target.check(artifact))
    assert list(target.choose([artifact])) in ([], [artifact])
    if missing is not None:
        found = target.run(artifact, iter(()), RunOptions())
        assert isinstance(found, Measurement)
        assert found.source == "not measured"
        assert found.reason


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_runs(path, tmp_path):
    recipe = load_recipe(path)
    folder = tmp_path / "run"
    report = run_to_folder(recipe, folder, Silent())
    assert report.kept
    written = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert {field.name for field in dataclasses.fields(Row)} == set(written["rows"][0])
    assert {row["target"] for row in written["rows"]} == {part.board for part in recipe.targets}
    endings = {"tflite": ".tflite", "onnx": ".onnx", "c": "-c"}
    files = {recipe.name + endings[name] for name, _ in recipe.exports}
    files |= {"plan.json"} if any(name == "prune_channels" for name, _ in recipe.passes) else set()
    assert {path.name for path in folder.iterdir()} == {"report.html", "report.md", "report.json", "recipe.lock.yaml", *files}
    lock = yaml.safe_load((folder / "recipe.lock.yaml").read_text(encoding="utf-8"))
    assert set(lock["hashes"]["artifacts"]) <= files
    if path.stem == "quickstart":
        keeps_what_the_readme_promises(folder, written, tmp_path)


def keeps_what_the_readme_promises(folder, written, scratch):
    before, after = written["model"]["before"], written["model"]["after"]
    assert after["macs"] * 2 <= before["macs"]
    for row in written["rows"]:
        assert (row["source"] == "not measured" and row["reason"]) or row["accuracy"] >= before["accuracy"] - 0.015
    original = compress.load("recipes.digits.network:build", compress.load_data("digits"), "recipes/digits/weights.safetensors")
    assert (folder / "quickstart.tflite").stat().st_size * 10 <= compress.export(original, "onnx", scratch).bytes
