"""Weights become zero by each criterion and in each pattern, little is lost, and they stay zero whatever comes next."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_networks import Network, conv, digest
from pydantic import TypeAdapter
from torch import nn

import compress
from compress.context import Context
from compress.data.base import Data, Split
from compress.metrics import metric
from compress.model import capture
from compress.passes.finetune import Finetune
from compress.passes.prune_weights import PruneWeights
from compress.passes.qat import Qat
from compress.passes.quantize import Quantize
from compress.report.rows import zipped
from compress.sparsity import layers, patterns
from compress.sparsity.reconstruction import refit
from targets.errors import UserError

MODEL = capture(Network(["residual", "inverted"], True, 0).eval(), (torch.zeros(1, 3, 8, 8),))


def context(model=MODEL):
    random = np.random.default_rng(0)
    inputs, labels = random.standard_normal((32, 3, 8, 8)).astype(np.float32), random.integers(0, 4, 32)
    split = Split(32, lambda rows: ((inputs[rows],), labels[rows]))
    return Context(Data("noise", split, split, split, "noise"), model, metric("accuracy"), device="cpu")


def weights(model):
    return {name: weight for name, weight in model.graph.named_parameters() if weight.ndim > 1}


@settings(max_examples=20, deadline=None)
@given(sparsity=st.floats(0, 0.99), scope=st.sampled_from(["global", "layer"]))
def test_the_share_is_met_and_larger_weights_stay(sparsity, scope):
    before = digest(MODEL)
    sparse = PruneWeights(sparsity=sparsity, scope=scope)(MODEL, context())
    assert digest(MODEL) == before
    pairs = [(MODEL.graph.get_parameter(name), weight) for name, weight in weights(sparse).items()]
    groups = [pairs] if scope == "layer" else [[(torch.cat([a.flatten() for a, _ in pairs]), torch.cat([b.flatten() for _, b in pairs]))]]
    for old, new in [pair for group in groups for pair in group]:
        gone = new == 0
        assert int(gone.sum()) == round(gone.numel() * sparsity)
        assert torch.equal(new[~gone], old[~gone])
        assert not gone.any() or gone.all() or old[gone].abs().max() <= old[~gone].abs().min()


def test_lines_and_details_count_zeros():
    step = PruneWeights(sparsity=0.25)(MODEL, context()).history[-1]
    assert step.details["sparsity"] == pytest.approx(0.25, abs=1e-3)
    assert sum(step.details["zeros"].values()) == round(step.details["weights"] * 0.25)
    assert step.lines[0].startswith("body.0.0: ")


def test_layers_are_kept_by_pattern():
    sparse = PruneWeights(sparsity=0.5, keep=("head.*",))(MODEL, context())
    assert not (sparse.graph.get_parameter("head.0.weight") == 0).any()
    assert (sparse.graph.get_parameter("body.0.0.weight") == 0).any()


def test_training_afterwards_keeps_the_zeros():
    sparse = PruneWeights(sparsity=0.5)(MODEL, context())
    trained = Finetune(epochs=2, learning_rate=0.01)(sparse, context(sparse))
    for name, weight in weights(sparse).items():
        assert torch.equal(trained.graph.get_parameter(name) == 0, weight == 0)
        assert not torch.equal(trained.graph.get_parameter(name), weight)


CRITERIA = ("magnitude", "wanda", "sparsegpt")


class Kinds(nn.Module):
    """Every kind of layer whose inputs are followed, with channels that patterns of 4 fit."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Sequential(nn.Conv2d(8, 16, 3, 2, padding="valid", groups=2, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.depthwise = nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=16)
        self.up = nn.ConvTranspose2d(16, 8, 3, 2, padding=1, output_padding=1, bias=False)
        self.flat = nn.Conv1d(8, 8, 3, padding="same")
        self.up_flat = nn.ConvTranspose1d(8, 8, 4, 3, padding=2, dilation=2, groups=2)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.up(torch.relu(self.depthwise(self.grouped(torch.relu(self.stem(x))))))
        return self.head(torch.relu(self.up_flat(torch.relu(self.flat(x.flatten(2))))).mean(2))


KINDS = capture(Kinds().eval(), (torch.zeros(1, 3, 8, 8),))


def outputs(model):
    inputs, _ = next(context().data.calibration.batches(32))
    return model(torch.from_numpy(inputs[0]))


def test_every_layers_rows_times_its_weights_are_its_outputs():
    values = dict(zip(KINDS.graph.graph.nodes, _values(KINDS.graph, torch.randn(2, 3, 8, 8)), strict=True))
    found = layers.find(KINDS, (), "test")
    assert len(found) == 7
    for layer in found:
        weight = KINDS.graph.get_parameter(layer.weight)
        laid_out = layer.laid_out(weight)
        assert torch.equal(layer.restored(laid_out, weight.shape), weight)
        bias = layer.node.args[2] if len(layer.node.args) > 2 else None
        shift = 0 if bias is None else values[bias].reshape(layer.groups, 1, -1)
        made = layer.rows(weight, values[layer.node.args[0]]) @ laid_out.flatten(2).transpose(1, 2) + shift
        torch.testing.assert_close(made, layer.results(values[layer.node]), atol=1e-5, rtol=1e-4)


def _values(graph, inputs):
    class Recorder(torch.fx.Interpreter):
        def run_node(self, n):
            found.append(super().run_node(n))
            return found[-1]

    found = []
    with torch.no_grad():
        Recorder(graph).run(inputs)
    return found


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize(("pattern", "share"), [("unstructured", 0.6), ("2:4", None), ("1:4", None), ("4x1", 0.5), ("1x4", 0.6)])
def test_zeros_have_the_pattern(criterion, pattern, share):
    options = {"criterion": criterion, "pattern": pattern, "sparsity": share}
    sparse = PruneWeights(**options, scope="layer")(KINDS, context(KINDS))
    step, form = sparse.history[-1], patterns.parse(pattern)
    whole = {line.partition(":")[0] for line in step.lines if "stays whole" in line}
    assert whole == (set() if pattern == "unstructured" else {"4x1": {"depthwise"}}.get(pattern, {"stem", "depthwise"}))
    assert step.details["sparsity"] == pytest.approx(PruneWeights(**options).share, abs=0.03)
    for layer in layers.find(KINDS, whole, "test"):
        stays = layer.laid_out(sparse.graph.get_parameter(layer.weight)) != 0
        if form.of:
            assert (stays.unflatten(3, (-1, form.of)).sum(4) == form.left).all()
        blocks = stays.unflatten(3, (-1, form.columns)).unflatten(1, (-1, form.rows)).float().mean((2, 5))
        assert set(blocks.unique().tolist()) <= {0.0, 1.0}


def test_wanda_weighs_a_weight_by_the_norm_of_its_input():
    torch.manual_seed(0)
    model = capture(nn.Linear(6, 4), (torch.zeros(1, 6),))
    inputs = (np.random.default_rng(0).standard_normal((40, 6)) * [1, 5, 0.1, 1, 1, 3]).astype(np.float32)
    split = Split(40, lambda rows: ((inputs[rows],), np.zeros(len(rows), np.int64)))
    given = replace(context(model), data=Data("rows", split, split, split, "rows"))
    sparse = PruneWeights(criterion="wanda", sparsity=0.5)(model, given)
    weight = model.graph.get_parameter("weight").detach()
    scores = weight.abs() * torch.from_numpy(inputs).norm(dim=0)
    assert torch.equal(sparse.graph.get_parameter("weight") != 0, scores > scores.flatten().median())


@pytest.mark.parametrize("model", [MODEL, KINDS], ids=["batchnorm", "kinds"])
def test_reconstruction_loses_least(model):
    def lost(criterion):
        return float((outputs(PruneWeights(criterion=criterion, sparsity=0.6)(model, context(model))) - outputs(model)).norm())

    assert lost("sparsegpt") < 0.5 * min(lost("magnitude"), lost("wanda"))


def test_weights_left_are_the_least_squares_solution():
    generator = torch.Generator().manual_seed(0)
    rows, wanted, kept = (torch.randn(1, *size, generator=generator, dtype=torch.float64) for size in ((50, 9), (3, 9), (3, 9)))
    kept = kept > 0
    moments = rows.transpose(1, 2) @ rows
    found = refit(wanted, kept, moments, wanted * kept)
    for row in range(3):
        left = kept[0, row]
        best = torch.linalg.lstsq(rows[0][:, left], rows[0] @ wanted[0, row]).solution
        torch.testing.assert_close(found[0, row][left], best)
        assert not found[0, row][~left].any()


def test_data_are_read_batch_by_batch():
    sizes = []
    inputs = np.random.default_rng(0).standard_normal((100, 3, 8, 8)).astype(np.float32)

    def load(rows):
        sizes.append(len(rows))
        return (inputs[rows],), np.zeros(len(rows), np.int64)

    split = Split(100, load)
    given = replace(context(KINDS), data=Data("counted", split, split, split, "counted"))
    PruneWeights(criterion="sparsegpt", samples=90)(KINDS, given)
    assert max(sizes) == 32
    assert sum(sizes) == 90 * (1 + 7)


@pytest.mark.parametrize("pattern", ["unstructured", "2:4"])
def test_steps_go_fast_at_first_and_train_between(pattern, monkeypatch):
    shares = []
    prune = PruneWeights._prune

    def spy(self, model, context, share):
        shares.append(share)
        return prune(self, model, context, share)

    monkeypatch.setattr(PruneWeights, "_prune", spy)
    options = {"steps": 3, "epochs": 1, "learning_rate": 0.01, "criterion": "wanda", "pattern": pattern}
    sparse = PruneWeights(**options)(KINDS, context(KINDS))
    assert shares == pytest.approx([0.5 * 19 / 27, 0.5 * 26 / 27, 0.5])
    assert sparse.history[-1].details["sparsity"] == pytest.approx(0.5, abs=1e-3)
    at_once = PruneWeights(criterion="wanda", pattern=pattern)(KINDS, context(KINDS))
    assert not torch.equal(sparse.graph.get_parameter("head.bias"), at_once.graph.get_parameter("head.bias"))
    assert [step.name for step in sparse.history] == ["prune_weights"]


@pytest.mark.parametrize(
    "following", [[Quantize()], pytest.param([Qat(epochs=1, teacher="none")], marks=pytest.mark.slow)], ids=["quantize", "qat"]
)
def test_integers_keep_the_zeros_and_the_file_gets_smaller_when_zipped(following, tmp_path):
    given = context(MODEL)
    sizes = []
    for sparsity in (0.0, 0.8):
        model = PruneWeights(sparsity=sparsity, criterion="wanda")(MODEL, given)
        zeros = {name: weight == 0 for name, weight in weights(model).items()}
        for each in following:
            model = each(model, given)
        stored = {name: value for name, value in model.graph.state_dict().items() if value.dtype == torch.int8}
        assert stored.keys() >= zeros.keys()
        assert not any(stored[name][mask].any() for name, mask in zeros.items())
        artifact = compress.export(model, "tflite", tmp_path)
        sizes.append((artifact.bytes, zipped(artifact)))
    assert sizes[1][0] == pytest.approx(sizes[0][0], rel=0.01)
    assert zipped(replace(artifact, path=tmp_path)) is None
    assert sizes[0][1] - sizes[1][1] > 0.4 * sum(weight.numel() for weight in weights(MODEL).values())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"sparsity": 1.0}, "sparsity"),
        ({"scope": "glob"}, "did you mean 'global'"),
        ({"criterion": "wand"}, "did you mean 'wanda'"),
        ({"pattern": "4:2"}, "N below M"),
        ({"pattern": "2:4", "sparsity": 0.7}, "leave sparsity out"),
        ({"steps": 0}, "steps"),
        ({"samples": 0}, "samples"),
        ({"epochs": 2}, "set steps to 2"),
    ],
)
def test_impossible_options_are_refused(options, word):
    with pytest.raises(UserError, match=word):
        PruneWeights(**options)


def test_a_pattern_without_quotes_is_told_how_to_be_written():
    with pytest.raises(UserError, match=r"must stand in quotes, as in '2:4'"):
        TypeAdapter(PruneWeights).validate_python(yaml.safe_load("pattern: 2:4"))


def test_mistakes_met_on_the_network_are_told():
    with pytest.raises(UserError, match="'tail' matches no layer"):
        PruneWeights(keep=("tail",))(MODEL, context())
    plain = capture(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), (torch.zeros(1, 3, 8, 8),))
    with pytest.raises(UserError, match="no weights"):
        PruneWeights()(plain, context(plain))
    shared = capture(conv(3, 4), (torch.zeros(1, 3, 8, 8),))
    with pytest.raises(UserError, match="no weights"):
        PruneWeights(keep=("*",))(shared, context(shared))
    with pytest.raises(UserError, match=r"pattern 2:4 fits no layer.*3 input channels are no multiple of 4"):
        PruneWeights(pattern="2:4")(shared, context(shared))
    empty = context(KINDS)
    with pytest.raises(UserError, match="no calibration samples"):
        PruneWeights(criterion="wanda")(KINDS, replace(empty, data=replace(empty.data, calibration=empty.data.calibration.first(0))))
    volume = capture(nn.Conv3d(1, 2, 3), (torch.zeros(1, 1, 4, 4, 4),))
    with pytest.raises(UserError, match=r"can't follow the inputs of .*conv3d"):
        PruneWeights(criterion="sparsegpt")(volume, context(volume))
    assert PruneWeights()(volume, context(volume)).history[-1].details["sparsity"] == 0.5
