"""A recipe is checked whole before anything runs; each mistake is one line with the key and the cure."""

import copy
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from compress import recipe as recipes
from compress.data import DATA
from compress.exporters import EXPORTERS
from compress.passes import PASSES
from compress.template import recipe_text
from targets.errors import UserError

RECIPES = Path(__file__).parent.parent / "recipes"
GOOD = yaml.safe_load((RECIPES / "quickstart.yaml").read_text(encoding="utf-8"))


def changed(**keys):
    content = copy.deepcopy(GOOD)
    for dotted, value in keys.items():
        *parents, last = dotted.split("__")
        place = content
        for parent in parents:
            place = place[int(parent) if parent.isdigit() else parent]
        place[int(last) if last.isdigit() else last] = value
    return content


MISTAKES = [
    (changed(tragets=["host"]), "unknown key 'tragets'; did you mean 'targets'?"),
    (changed(model__wieghts="x"), "model: unknown key 'wieghts'; did you mean 'weights'?"),
    (changed(passes__0={"prune_chanels": {"ratio": 0.5}}), "passes[0]: no pass is called 'prune_chanels'; did you mean 'prune_channels'?"),
    (changed(passes__0={"prune_channels": {"ration": 0.5}}), "passes[0].prune_channels: unknown key 'ration'; did you mean 'ratio'?"),
    (changed(passes__0={"prune_channels": {"ratio": "half"}}), "passes[0].prune_channels: ratio: input should be a valid number"),
    (changed(passes__0={"prune_channels": {"ratio": 1.5}}), "passes[0].prune_channels: "),
    (changed(passes__0={"prune_channels": 0.5}), "passes[0].prune_channels: options are a mapping"),
    (
        changed(passes=["quantize", {"prune_channels": {}}]),
        "passes[1]: prune_channels works on a float network, but quantize left it quantized",
    ),
    (
        changed(passes=["adaround"]),
        "passes[0]: adaround works on a quantized network, but it is float at first; put quantize before adaround",
    ),
    (changed(passes__0={"prune_channels": {"keep": "head"}}), "keep: input should be a valid list, not 'head'"),
    (changed(passes__0={"prune_channels": {"epochs": 2}}), "epochs are trained between steps; set steps"),
    (changed(passes__0={"prune_channels": {"plan": "missing.json"}}), "missing.json can't be read"),
    (changed(passes__0={"finetune": {"augment": [{"flip": None}]}}), "augment[0].flip: input should be a valid number, not None"),
    (changed(passes__0={"finetune": {"teacher": {"sorce": "x"}}}), "finetune: key 'teacher.source' is missing"),
    (changed(passes__0={"finetune": {"teacher": ["none"]}}), "'none' stands in a list"),
    (changed(passes__0={"finetune": {"teacher": "orignal"}}), "no known word; did you mean 'original'?"),
    (changed(export=["tflight"]), "export[0]: no exporter is called 'tflight'; did you mean 'tflite'?"),
    (changed(export=["onnx", "onnx"]), "export: 'onnx' stands there twice"),
    (changed(export=[]), "export: list should have at least 1 item"),
    (changed(targets=["raspbery-pi-4"]), "targets[0]: no board is called 'raspbery-pi-4'; did you mean 'raspberry-pi-4'?"),
    (changed(targets=[{"host": {"devise": "x"}}]), "targets[0].host: unknown key 'devise'; did you mean 'device'?"),
    (changed(data="digit"), "did you mean 'digits'?"),
    (changed(data={"nzp": "x.npz"}), "data: names no kind of data: 'nzp'; did you mean 'npz'?"),
    (changed(data={"npz": "x.npz", "calibratoin": 3}), "data.npz: unknown key 'calibratoin'; did you mean 'calibration'?"),
    (changed(metric="acuracy"), "no metric is called 'acuracy'; did you mean 'accuracy'?"),
    (changed(budgets={"accuracy_dorp": 0.1}), "accuracy_dorp"),
    (changed(budgets={"host": {"latency_ms": "fast"}}), "latency_ms"),
    (changed(model__source="missing.pt2"), "model.source: file"),
    (changed(model__weights="missing.safetensors"), "model.weights: file"),
    (changed(version=2), "version: input should be 1, not 2"),
    (changed(name="../up"), "name: "),
    (changed(measure={"repetitions": 0}), "measure.repetitions: input should be greater than or equal to 1, not 0"),
    (changed(measure={"precision": "2"}), "measure.precision: input should be less than or equal to 0.5, not '2'"),
    (changed(measure={"precision": "fine"}), "measure.precision"),
    (changed(seed=-1), "seed: "),
    ([1, 2], "a recipe is a YAML mapping"),
    ({"version": 1, "name": "x", "data": "digits", "export": ["onnx"]}, "key 'model' is missing"),
]


@pytest.mark.parametrize(("content", "message"), MISTAKES, ids=[message[:40] for _, message in MISTAKES])
def test_a_mistake_is_one_line_with_the_key_and_the_cure(content, message):
    with pytest.raises(UserError) as caught:
        recipes.check(content, RECIPES / "mine.yaml")
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(RECIPES / "mine.yaml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "!!python/object/apply:os.system [id]", "a: 1\n  b: 2", "\x00"])
def test_what_is_not_yaml_is_refused_and_never_run(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="is not YAML"):
        recipes.load(path)


def test_a_recipe_that_is_not_there_names_init(tmp_path):
    with pytest.raises(UserError, match="edgepress init"):
        recipes.load(tmp_path / "none.yaml")


@pytest.mark.parametrize(("written", "share"), [("2%", 0.02), ("2.5 %", 0.025), (0.01, 0.01)])
def test_a_precision_is_a_share_or_percent(written, share):
    assert recipes.check(changed(measure={"precision": written}), RECIPES / "mine.yaml").measure.precision == share


def test_every_default_is_written_out():
    recipe = recipes.load(RECIPES / "quickstart.yaml")
    written = yaml.safe_load(yaml.safe_dump(recipe.written_out()))
    assert written["passes"][0]["prune_channels"]["ratio"] == 0.5
    assert written["measure"] == {"warmup": 10, "repetitions": 50, "precision": None, "threads": 1, "samples": None}
    assert set(written["passes"][0]["prune_channels"]) > {"ratio", "multiple_of"}


@pytest.mark.parametrize("data", ["digits", "mine.npz", "images", "my.module:function"])
def test_what_init_writes_is_a_recipe(tmp_path, data):
    (tmp_path / "model.pt2").write_bytes(b"")
    (tmp_path / "mine.npz").write_bytes(b"")
    (tmp_path / "images").mkdir()
    content = yaml.safe_load(recipe_text("recipe.yaml", "mine", "model.pt2", data))
    recipe = recipes.check(content, tmp_path / "recipe.yaml")
    assert [name for name, _ in recipe.passes] == ["prune_channels", "distill", "quantize"]


@pytest.mark.parametrize("plugins", [DATA, PASSES, EXPORTERS], ids=lambda plugins: plugins.word)
def test_the_recipe_page_names_every_option(plugins):
    page = (RECIPES.parent / "docs" / "recipe.md").read_text(encoding="utf-8")
    rows = {row.split("|")[1].strip(" `"): row for row in page.splitlines() if row.startswith("| `")}
    for name in plugins.names():
        options = {field.name for field in fields(plugins.load(name)) if field.init} - {"folder"}
        assert options == set(re.findall(r"`(\w+)`", rows[name].split("|")[2])), name
