"""Diagnosis: a layer that is made hard on purpose is found, and the rules that are advised win its loss back in the exported file."""

import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from conftest import DATA
from quantized_networks import Network, context_of, model_of, samples
from rich.console import Console
from torch import nn

from compress.diagnosing.diagnose import diagnose
from compress.diagnosing.findings import Job
from compress.passes.quantize import Quantize
from compress.quantization import noise
from compress.quantization.overrides import Override
from compress.quantization.sensitivity import Quantization, prepare
from compress.quantization.units import Choice
from compress.report import diagnosis, diagnosis_plot
from targets.errors import UserError

SHAPE = (3, 8, 8)
HARD = "layers.1"
PER_TENSOR = Quantize(observer="minmax", weight_observer="minmax", weight_granularity="tensor")


def network(loudness=40):
    """Three convolutions and a linear layer. One channel of the second has huge weights and never passes its ReLU."""

    def forward(x, first, second, third, linear):
        return linear(torch.relu(third(torch.relu(second(torch.relu(first(x)))))).mean((2, 3)))

    made = Network(forward, nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3), nn.Linear(8, 5))
    with torch.no_grad():
        made.layers[1].weight[3] *= loudness
        made.layers[1].bias[3] = -5 * loudness
        made.layers[3].weight *= 20
        made.layers[3].bias -= made(torch.from_numpy(samples(SHAPE, 96))).mean(0)
    return made


@pytest.fixture(scope="module")
def model():
    return model_of(network, SHAPE)


@pytest.fixture(scope="module")
def context(model):
    return context_of(model, samples(SHAPE, 96))


@pytest.fixture(scope="module")
def found(model, context):
    return diagnose(Job(model, context, PER_TENSOR, samples=96))


def test_the_hard_layer_is_named_first(found):
    first = found.layers[0]
    assert first.unit.name == HARD
    assert first.won > 0.7 * found.quality.divergence
    assert first.noise.own == min(layer.noise.own for layer in found.layers)
    assert {trial.choice for trial in first.interventions} == {Choice("int8"), Choice("int16x8", "tensor"), Choice("float", "tensor")}


def test_the_cheapest_cure_is_advised_and_wins_the_loss_back_in_the_file(found):
    assert found.advice[0] == Override(match=r"layers\.1", weight_granularity="channel")
    assert found.predicted.divergence < 0.3 * found.quality.divergence
    assert found.after.agreement > found.before.agreement
    assert found.after.agreement > 0.95
    assert found.reason is None


def test_what_a_cure_costs_is_told(found):
    by_choice = {trial.choice.beside(Choice("int8", "tensor")): trial for trial in found.layers[0].interventions}
    assert by_choice["int8 per channel"].bytes == 4 * (8 - 1)
    assert by_choice["float"].bytes == 3 * 8 * 8 * 9 - 4
    assert by_choice["float"].milliseconds is not None
    assert by_choice["int8 per channel"].milliseconds == 0.0


def test_what_has_no_time_says_so(found):
    layer = found.layers[0]
    trials = tuple(replace(trial, milliseconds=None) for trial in layer.interventions)
    console = Console(width=140, record=True, file=io.StringIO())
    diagnosis.show(replace(found, layers=(replace(layer, interventions=trials),), everywhere=()), console)
    printed = console.export_text()
    assert printed.count("not measured") == len(trials)
    assert "time: measured" not in printed


def test_the_rules_can_be_pasted(found, model, context):
    pasted = yaml.safe_load(diagnosis.paste(found.advice))["overrides"]
    rules = tuple(Override(**rule) for rule in pasted)
    assert rules == found.advice
    healed = replace(PER_TENSOR, overrides=rules)(model, context)
    inputs = torch.from_numpy(samples(SHAPE, 96))
    assert (healed(inputs).argmax(1) == model(inputs).argmax(1)).double().mean() == found.predicted.agreement


def test_json_and_drawing_hold_every_trial(found, tmp_path):
    content = json.loads(json.dumps(diagnosis.as_dict(found), allow_nan=False))
    trials = sum(len(layer["interventions"]) for layer in content["layers"])
    assert trials == sum(len(layer.interventions) for layer in found.layers)
    assert content["overrides"][0] == {"match": r"layers\.1", "weight_granularity": "channel"}
    diagnosis_plot.write(found, tmp_path / "plot.svg")
    drawing = ET.parse(tmp_path / "plot.svg").getroot()  # noqa: S314  our own file
    stories = [title.text for title in drawing.iter("{http://www.w3.org/2000/svg}title") if "of the loss" in title.text]
    assert len(stories) == trials
    with pytest.raises(UserError, match="can't be written"):
        diagnosis_plot.write(found, tmp_path / "no" / "plot.svg")


def test_the_noisiest_layers_are_tried_and_nothing_is_advised_that_c_can_not_compute(model, context):
    found = diagnose(Job(model, replace(context, exports=("c",)), Quantize(scheme="w4a8"), samples=32, layers=2))
    assert {layer.unit.name for layer in found.layers if layer.interventions} == {
        layer.unit.name for layer in sorted(found.layers, key=lambda layer: layer.noise.own)[:2]
    }
    assert {trial.choice.scheme for trial in found.layers[0].interventions} == {"int8", "int16x8", "float"}
    assert {rule.scheme for rule in found.advice} == {"int8"}
    assert any("C sources are integer from end to end" in note for note in found.notes)


def test_a_layers_own_noise_is_that_of_its_bits_alone(model, context):
    trials = prepare(model, context, Quantization(), context.data.evaluation)
    outputs = {name: unit.output for name, unit in trials.units.items()}

    def measured(**choices):
        graph = trials.quantize({name.replace("_", "."): Choice(scheme) for name, scheme in choices.items()})
        found = noise.measure(trials.graph, graph, list(outputs.values()), trials.samples.batches)
        return {name: found[output] for name, output in outputs.items()}

    eight, four, real = measured(), measured(layers_2="w4a8"), measured(layers_2="float")
    assert four["layers.2"].own < eight["layers.2"].own - 15
    assert real["layers.2"].own > eight["layers.2"].own, "what is left is the rounding with which it is read"
    assert real["layers.2"].total < real["layers.2"].own, "its inputs are still integers"
    for name in outputs.keys() - {"layers.2"}:
        assert four[name].own == pytest.approx(eight[name].own)
    assert four["layers.1"].total == pytest.approx(eight["layers.1"].total)


@pytest.mark.parametrize("quantize", [Quantize(scheme="float16"), Quantize(engine="neural-compressor", algorithm="static")])
def test_schemes_without_a_choice_for_each_layer_are_refused(quantize, model, context):
    with pytest.raises(UserError, match="diagnose: works on engine edgepress"):
        diagnose(Job(model, context, quantize))


@pytest.fixture
def files(tmp_path):
    """A network, data and a recipe of it."""
    torch.manual_seed(0)
    torch.export.save(torch.export.export(network(160), (torch.zeros(1, *SHAPE),)), tmp_path / "hard.pt2")
    np.savez(tmp_path / "data.npz", x=samples(SHAPE, 200), y=np.arange(200) % 5)
    recipe = {"version": 1, "name": "hard", "model": {"source": "hard.pt2"}, "data": {"npz": "data.npz"}, "export": ["tflite"]}
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(recipe))
    options = {"weight_granularity": "tensor", "overrides": [{"match": r"layers\.0", "scheme": "float"}]}
    (tmp_path / "hard.yaml").write_text(yaml.safe_dump(recipe | {"passes": [{"quantize": options}]}))
    return tmp_path


def test_the_command_reads_a_recipe(edgepress, files):
    code, out, err = edgepress("diagnose", "hard.yaml", "--observer", "minmax", "--layers", "2", "--plot", "plot.svg", "--json")
    assert code == 0, err
    content = json.loads(out)
    assert content["layers"][0]["name"] == HARD
    assert content["quantization"] == {"scheme": "int8", "granularity": "tensor"}
    assert {layer["choice"] for layer in content["layers"] if layer["name"] == "layers.0"} == {"float"}
    assert (files / "plot.svg").stat().st_size > 1000


@pytest.mark.usefixtures("files")
def test_the_command_reads_a_network_and_prints_rules(edgepress):
    code, out, err = edgepress("diagnose", "hard.pt2", "--data", "data.npz", "--weight-granularity", "tensor", "--layers", "1")
    assert code == 0, err
    assert "overrides:\n- match: layers\\.1\n" in out
    assert "exported with them" in out


MISTAKES = [
    (["plain.yaml"], "'quantize' is not among them"),
    (["hard.yaml", "--data", "digits"], "a recipe says its data and metric itself"),
    (["hard.yaml", "--observer", "mimmax"], "did you mean 'minmax'?"),
    (["hard.pt2"], "--data is missing"),
    (["hard.pt2", "--data", "data.npz", "--scheme", "int9"], "int9"),
    (["none.pt2", "--data", "data.npz"], "none.pt2"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
@pytest.mark.usefixtures("files")
def test_a_mistake_is_one_line(edgepress, arguments, message):
    code, out, err = edgepress("diagnose", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not (DATA / "networks.py").exists(), reason="no trained networks in ../shared/data")
def test_resnet8_per_tensor_is_won_back(monkeypatch):
    monkeypatch.syspath_prepend(DATA)
    import datasets
    import networks

    inputs, _ = datasets.evaluation("resnet8")
    model = model_of(lambda: networks.load("resnet8"), inputs.shape[1:])
    context = context_of(model, inputs[:500])
    calibration = context_of(model, datasets.calibration("resnet8", 200)).data.calibration
    context = replace(context, data=replace(context.data, calibration=calibration))
    found = diagnose(Job(model, context, replace(PER_TENSOR, weight_rounding="nearest"), samples=300))
    assert {layer.unit.name for layer in found.layers[:2]} == {"stem.0.0", "b1.0.0"}
    assert found.predicted.divergence < 0.5 * found.quality.divergence
    alike = Quantize(observer="minmax", weight_observer="minmax", weight_rounding="nearest", equalize=False)
    per_channel = alike(model, context)
    tensors = torch.from_numpy(inputs[:500])
    best = (per_channel(tensors).argmax(1) == model(tensors).argmax(1)).double().mean()
    assert found.before.agreement < best - 0.015
    assert found.after.agreement > best - 0.01
