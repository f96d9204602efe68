"""What `edgepress forecast` says before the work is what the work gives; what can't work is refused before anything is trained."""

import dataclasses
import json
import sys

import pytest
import torch
import yaml
from torch import nn

import cli
import compress
from compress import pipeline
from compress.forecasting.forecast import forecast
from compress.passes import PASSES
from compress.progress import Silent
from compress.recipe import build, check, load
from targets import boards
from targets.errors import UserError


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16))
        self.down = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU())
        self.classify = nn.Linear(32, 10)

    def forward(self, x):
        x = self.stem(x)
        return self.classify(self.down(torch.relu(x + self.body(x))).mean((2, 3)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecast")
    torch.manual_seed(0)
    free = ({0: torch.export.Dim.DYNAMIC},)
    torch.export.save(torch.export.export(Network().eval(), (torch.zeros(2, 1, 8, 8),), dynamic_shapes=free), folder / "net.pt2")
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Nothing of an earlier run is kept in it, but built firmware may be."""
    monkeypatch.setenv("EDGEPRESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def recipe(folder, *passes, **changes):
    content = {
        "version": 1,
        "name": "net",
        "model": {"source": "net.pt2"},
        "data": {"builtin": {"name": "digits", "calibration": 64, "evaluation": 64}},
        "passes": list(passes),
        "export": ["tflite", "onnx", "c"],
        "targets": ["host", "nucleo-l4r5zi"],
        "measure": {"warmup": 1, "repetitions": 3},
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command; gives exit code, JSON or text, and standard error."""

    def run(path, *options):
        monkeypatch.setattr(sys, "argv", ["edgepress", "forecast", str(path), *options])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code or 0, json.loads(out) if out and "--json" in options else out, err

    return run


def test_sizes_macs_and_memory_are_those_that_the_run_gives(folder, cache, tmp_path, command):
    path = recipe(folder, {"prune_channels": {"ratio": 0.5}}, {"finetune": {"epochs": 1}}, {"quantize": {}})
    code, found, err = command(path, "--json")
    assert code == 0, err
    assert not list(cache.glob("passes/*"))
    assert [version["passes"] for version in found["versions"]] == [[], ["quantize"], ["prune_channels", "finetune", "quantize"]]
    assert found["untrained"] == ["finetune"]
    assert found["accuracy"] is None
    (tmp_path / "run").mkdir()
    outcome = pipeline.run(load(path), tmp_path / "run", Silent())
    last = found["versions"][-1]
    assert last["macs"] == compress.cost.macs(outcome.compressed)
    assert last["parameters"] == compress.cost.parameters(outcome.compressed)
    assert (last["macs_source"], last["rows"][0]["bytes_source"]) == ("counted", "measured")
    real = {(row.artifact.path.name, row.board): row for row in outcome.rows}
    assert {(row["artifact"], row["target"]) for row in last["rows"]} == set(real)
    for row in last["rows"]:
        there = real[row["artifact"], row["target"]]
        assert row["bytes"] == there.artifact.bytes or row["format"] == "c"
        assert row["latency_ms"] > 0
        assert row["latency_source"] == there.measurement.latency.source
        if row["target"] != "host":
            assert row["ram_bytes"] == there.measurement.ram_bytes
            # training changes the numbers in the code's instructions, and some numbers take longer ones
            assert row["flash_bytes"] == pytest.approx(there.measurement.flash_bytes, abs=16)


def test_the_table_says_what_is_not_known(folder, command):
    code, out, _ = command(recipe(folder, {"finetune": {"epochs": 3}}, export=["onnx"], targets=["host"]))
    assert code == 0
    assert "accuracy: not measured" in out
    assert "not trained: finetune" in out
    assert "measured" in out


def test_zeros_that_no_target_feels_are_told(folder):
    found = forecast(load(recipe(folder, {"prune_weights": {"sparsity": 0.6}}, "quantize")), Silent())
    (warning,) = [warning for warning in found.warnings if "prune_weights: no faster on" in warning]
    assert "nucleo-l4r5zi" in warning
    assert "zipped" in warning
    first, last = (next(row for row in version.rows if row.format == "tflite") for version in found.versions[1:])
    assert last.zipped_bytes < first.zipped_bytes
    assert last.bytes == first.bytes


def test_a_pass_that_undoes_another_is_told(folder):
    passes = [{"prune_weights": {"sparsity": 0.6}}, {"finetune": {"keep_zeros": False, "epochs": 5}}]
    found = forecast(load(recipe(folder, *passes, export=["onnx"], targets=["host"])), Silent())
    assert any("finetune undoes an earlier pass: zeros" in warning for warning in found.warnings)
    kept = [passes[0], {"finetune": {"epochs": 5}}]
    found = forecast(load(recipe(folder, *kept, export=["onnx"], targets=["host"])), Silent())
    assert not any("undoes" in warning for warning in found.warnings)


def test_what_will_not_fit_a_board_is_told_with_the_layer_and_the_cure(folder, command):
    board = yaml.safe_load((boards.FOLDER / "nucleo-l4r5zi.yaml").read_text(encoding="utf-8"))
    (folder / "small.yaml").write_text(yaml.safe_dump({**board, "name": "small", "ram_bytes": 1000}))
    code, out, _ = command(recipe(folder, "quantize", export=["c"], targets=[str(folder / "small.yaml")]))
    assert code == 1
    said = " ".join(out.split())
    assert "won't work: does not work on small" in said
    assert "1,000 bytes of RAM, most of them in layer '" in said
    assert "prune the channels there" in said


def test_a_structure_that_hangs_on_samples_is_an_estimate(folder, command):
    passes = [{"prune_channels": {"ratio": 0.4, "scope": "global", "criterion": "taylor", "correct": False}}]
    _, found, _ = command(recipe(folder, *passes, export=["onnx"], targets=["host"]), "--json")
    last = found["versions"][-1]
    assert last["macs_source"] == last["rows"][0]["bytes_source"] == "estimated"
    assert found["versions"][0]["macs_source"] == "counted"


def test_what_a_later_pass_or_export_refuses_is_told_before_training(folder, cache, tmp_path):
    refused = [
        ([{"finetune": {"epochs": 2}}, {"quantize": {"overrides": [{"match": "no_such", "scheme": "float"}]}}], ["tflite"], "no_such"),
        ([{"finetune": {"epochs": 2}}, {"quantize": {"scheme": "dynamic"}}], ["c"], "'c'|export c"),
    ]
    for passes, exports, message in refused:
        with pytest.raises(UserError, match=message) as caught:
            pipeline.run(load(recipe(folder, *passes, export=exports)), tmp_path, Silent())
        assert str(tmp_path) not in str(caught.value)
    assert not list(cache.glob("passes/*"))


@pytest.fixture(scope="module")
def start():
    whole = compress.load_data("digits")
    parts = {part: getattr(whole, part).first(16) for part in ("training", "calibration", "evaluation")}
    torch.manual_seed(0)
    data = dataclasses.replace(whole, **parts)
    model = compress.load(Network(), data)
    return model, pipeline.rehearsal(compress.make_context(model, data))


def refusal(first, second, made, context, path):
    """Why the second pass can't stand behind the first: said by the recipe, or by the pass in a rehearsal; None where it can."""
    try:
        check({**yaml.safe_load(path.read_text()), "passes": [first, second]}, path)
        pipeline.apply_one(second, build(PASSES.load(second), {}, second), made, context)
    except UserError as error:
        return str(error)
    return None


@pytest.mark.parametrize("first", [name for name in PASSES.names() if PASSES.load(name).takes == "float"])
def test_every_pair_of_passes_works_or_is_refused_in_one_line(first, folder, start):
    model, context = start
    path = recipe(folder)
    made = pipeline.apply_one(first, build(PASSES.load(first), {}, first), model, context)
    for second in PASSES.names():
        why = refusal(first, second, made, context, path)
        assert (why is None) == (PASSES.load(second).takes == made.stage), why
        assert why is None or (second in why and "; put" in why and "\n" not in why)


@pytest.mark.parametrize(
    ("passes", "message"),
    [
        (["quantize", "prune_channels"], "prune_channels works on a float network, but quantize left it quantized; put"),
        (["quantize", "quantize"], "quantize works on a float network"),
        (["quantize", "qat"], "qat works on a float network"),
        (["quantize", "adaround", "equalize"], "equalize works on a float network, but adaround left it quantized"),
        (["adaround"], "put quantize before adaround"),
        ([{"quantize": {"scheme": "float16"}}, "adaround"], "put adaround right after a quantize that stores integers"),
    ],
)
def test_an_order_that_can_not_work_is_refused_in_one_line(folder, command, passes, message):
    code, out, err = command(recipe(folder, *passes))
    assert (code, out) == (2, ""), err
    (line,) = [line for line in err.splitlines() if not line.startswith("done ")]
    assert message in line
