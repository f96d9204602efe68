"""Quantization-aware training: the rounded network learns, and what is exported is what was trained."""

import json
from contextlib import nullcontext
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from quantized_networks import CASES, context_of, model_of, run_file, samples, split_of, trained
from torch import nn

import compress
from compress import store
from compress.context import Context
from compress.data.base import Data
from compress.metrics import metric
from compress.passes import qat as qat_module
from compress.passes.prune_weights import PruneWeights
from compress.passes.qat import Qat
from compress.passes.quantize import Quantize
from compress.progress import Silent
from compress.quantization import fake_quantize, static
from compress.quantization.fake_quantize import Parameters
from compress.quantization.learned_rounding import fake_quantize as rounded
from compress.quantization.learned_rounding import positive
from compress.quantization.overrides import Override, resolve
from compress.quantization.parameters import activation_parameters
from compress.quantization.plan import plan
from compress.training_mode import set_training
from targets import formats
from targets.errors import UserError

SHAPE = (3, 8, 8)
QUICK = {"epochs": 2, "learning_rate": 0.01, "batch_size": 16}
quantized_decomposed = torch.ops.quantized_decomposed


pytestmark = pytest.mark.usefixtures("one_thread")


class Classifier(nn.Module):
    """Convolutions with BatchNorms that fold into them and with none, a residual sum, pooling, a linear layer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), trained(nn.BatchNorm2d(8)), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), trained(nn.BatchNorm2d(8)))
        self.plain = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.stem(x)
        return self.head(torch.relu(self.plain(x) + self.body(x)).mean((2, 3)))


class FixedBatch(Classifier):
    def forward(self, x):
        return super().forward(x.reshape(1, *SHAPE))


def labelled(count=96):
    """Noise whose strongest quarter is its class."""
    inputs = samples(SHAPE, count)
    labels = np.random.default_rng(1).integers(0, 4, count)
    inputs[np.arange(count), :, labels * 2] += 2
    return split_of(inputs, labels)


@pytest.fixture(scope="module")
def model():
    return model_of(Classifier, SHAPE)


@pytest.fixture(scope="module")
def context(model):
    split = labelled()
    return Context(Data("stripes", split, split, split, "stripes"), model, metric("accuracy"), device="cpu")


@pytest.fixture
def last_trained(monkeypatch):
    """Every graph that a pass trains, as training left it."""
    graphs = []
    train = qat_module.train

    def spy(*arguments):
        done = train(*arguments)
        graphs.append(done.graph)
        return done

    monkeypatch.setattr(qat_module, "train", spy)
    return graphs


def prepared(model, context):
    """What the pass trains, before it is trained."""
    graph, _ = static.float_graph(model)
    operators = resolve(graph.graph, ())
    wanted = plan(graph.graph, operators)
    activations = activation_parameters(wanted, static.calibrate(model, graph, wanted, context), "mse")
    initial = fake_quantize.start(graph, wanted, activations, "mse", {layer.layer.name: "channel" for layer in wanted.weighted})
    schemes = {node.name: chosen for node, chosen in operators.items()}
    return fake_quantize.learning(model, graph, schemes, initial), graph, schemes, initial


numbers = st.floats(-100, 100, width=32)
scales = st.floats(2.0**-10, 4, width=32)


@given(st.lists(numbers, min_size=1, max_size=40), scales, st.integers(-128, 127))
def test_an_activation_is_rounded_as_its_integers_are(values, scale, zero_point):
    tensor, arguments = torch.tensor(values), (scale, zero_point, -128, 127, torch.int8)
    integers = quantized_decomposed.quantize_per_tensor.default(tensor, *arguments)
    expected = quantized_decomposed.dequantize_per_tensor.default(integers, *arguments)
    assert torch.equal(rounded(tensor, torch.tensor(scale), (zero_point, -128, 127)), expected)


@given(st.lists(numbers, min_size=6, max_size=6), st.lists(scales, min_size=3, max_size=3), st.sampled_from([7, 127]), st.integers(0, 1))
def test_a_weight_is_rounded_as_its_integers_are(values, steps, limit, axis):
    weight = torch.tensor(values).reshape((3, 2) if axis == 0 else (2, 3))
    arguments = (torch.tensor(steps), torch.zeros(3, dtype=torch.int64), axis, -limit, limit, torch.int8)
    integers = quantized_decomposed.quantize_per_channel.default(weight, *arguments)
    expected = quantized_decomposed.dequantize_per_channel.default(integers, *arguments)
    assert torch.equal(rounded(weight, torch.tensor(steps), (0, -limit, limit), axis), expected)


@given(st.lists(numbers, min_size=4, max_size=4), scales, st.integers(-128, 127))
def test_gradients_are_those_of_rounding_that_lets_them_through(values, scale, zero_point):
    """The same function by torch's own derivatives: round() has derivative 1, clamp() 1 inside the range."""
    ours, reference = (torch.tensor([values, values]).requires_grad_() for _ in range(2))
    our_scale, reference_scale = (torch.tensor(scale).requires_grad_() for _ in range(2))
    upstream = torch.tensor([[1.0, -2.0, 3.0, 0.5], [2.0, 1.0, -1.0, 1.0]])
    rounded(ours, our_scale, (zero_point, -128, 127)).backward(upstream)
    steps = reference / reference_scale
    whole = steps + ((reference * (1 / reference_scale)).round() - steps).detach() + zero_point
    ((whole.clamp(-128, 127) - zero_point) * reference_scale).backward(upstream)
    torch.testing.assert_close(ours.grad, reference.grad)
    share = 1 / np.sqrt(4 * max(127 - zero_point, zero_point + 128))
    torch.testing.assert_close(our_scale.grad, reference_scale.grad * share, rtol=1e-4, atol=2e-3)


@given(st.floats(2.0**-20, 100, width=32), st.floats(-1, 1, width=32))
def test_a_scale_goes_as_far_as_if_it_were_learned_itself(scale, gradient):
    logarithm = torch.tensor(scale).log().requires_grad_()
    positive(logarithm).backward(torch.tensor(gradient) * scale)
    descended = positive(logarithm.detach() - 1e-3 * logarithm.grad)
    torch.testing.assert_close(descended, torch.tensor(scale * (1 - 1e-3 * gradient)), rtol=2e-6, atol=0)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"embedding"}))  # takes no real numbers
def test_any_network_computes_before_conversion_what_it_does_after(name):
    case = CASES[name]
    model = model_of(case.build, case.shape)
    inputs = samples(case.shape, 16)
    graph, reference, schemes, initial = prepared(model, context_of(model, inputs))
    integers = fake_quantize.to_integers(reference, schemes, fake_quantize.learned(graph, initial))
    with torch.no_grad():
        assert torch.equal(graph(torch.from_numpy(inputs)), integers(torch.from_numpy(inputs)))


SCHEMES = {
    "int8": {},
    "w4a8": {"scheme": "w4a8"},
    "int16x8": {"scheme": "int16x8"},
    "mixed": {"overrides": (Override(match="body.*", scheme="int16x8"), Override(match="head", scheme="w4a8"))},
    "partly float": {"overrides": (Override(match="stem.*|plain", scheme="float"),)},
    "all float": {"overrides": (Override(match=".*", scheme="float"),)},
    "one scale for a layer": {"scheme": "w4a8", "weight_granularity": "tensor", "optimizer": "sgd"},
    "labels alone": {"teacher": "none", "freeze_batchnorm": 1.0},
}


@pytest.mark.parametrize("options", SCHEMES.values(), ids=SCHEMES)
def test_what_was_trained_is_what_comes_out(options, model, context, last_trained):
    result = Qat(**QUICK, **options)(model, context)
    inputs = torch.from_numpy(samples(SHAPE, 64, seed=2))
    with torch.no_grad():
        assert torch.equal(last_trained[0](inputs), result(inputs))
    untrained = Quantize(scheme=options.get("scheme", "int8"), overrides=options.get("overrides", ()))(model, context)
    assert (result(inputs) - untrained(inputs)).abs().max() > 0.05
    assert not any(tensor.requires_grad for tensor in result.graph.state_dict().values())


@pytest.fixture(scope="module")
def result(model, context):
    return Qat(**QUICK)(model, context)


def test_the_scales_are_learned_and_stored_to_the_bit(model, context, last_trained):
    result = Qat(**QUICK)(model, context)
    _, _, _, initial = prepared(model, context)
    final = fake_quantize.learned(last_trained[0], initial)
    changed = [new.scale / old.scale for new, old in zip(final.activations, initial.activations, strict=True)]
    assert all(0.5 < ratio < 2 for ratio in changed)
    assert sum(ratio == pytest.approx(1, abs=1e-4) for ratio in changed) <= 1
    constants = result.graph.state_dict()
    stored = [constants[f"{name}.weight_scale"] for name in ("stem.0", "body.0", "plain", "head")]
    assert all(any(torch.equal(scale, other) for other in stored) for scale in final.weights)
    written = {node.args[1] for node in result.graph.graph.nodes if node.name.startswith("quantize_per_tensor")}
    assert {affine.scale for affine in final.activations} == written


@pytest.mark.parametrize("format_name", ["tflite", "onnx"])
def test_files_carry_the_learned_scales_and_compute_the_same(format_name, result, tmp_path):
    artifact = compress.export(result, format_name, tmp_path)
    inputs = samples(SHAPE, 64, seed=2)
    step = artifact.outputs[0].scale or next(node.args[1] for node in reversed(result.graph.graph.nodes) if "dequantize" in node.name)
    off = np.abs(run_file(artifact, inputs) - result(torch.from_numpy(inputs)).numpy()) / step
    assert off.max() <= 1.01
    assert (off > 0.5).mean() < 0.05
    learned = [scale.numpy() for name, scale in result.graph.state_dict().items() if name.endswith(".weight_scale")]
    content = artifact.path.read_bytes()
    assert all(scale.astype("<f4").tobytes() in content for scale in learned)
    assert formats.read(artifact.path).bytes == artifact.bytes


def test_it_comes_back_from_disk_the_same(result, tmp_path):
    store.save(result, tmp_path / "kept")
    again = store.load(tmp_path / "kept")
    inputs = torch.from_numpy(samples(SHAPE, 5))
    assert torch.equal(again(inputs), result(inputs))
    assert torch.equal(again.reference(inputs), result.reference(inputs))
    assert json.dumps(asdict(result.history[-1]))


def test_the_reference_is_the_trained_network_in_float(result, model):
    inputs = torch.from_numpy(samples(SHAPE, 32))
    error = (result.reference(inputs) - result(inputs)).std() / result.reference(inputs).std()
    assert error < 0.1
    assert (result.reference(inputs) - model(inputs)).abs().max() > 0.05


def test_a_network_of_fixed_batch_is_trained_sample_by_sample(context):
    model = model_of(FixedBatch, SHAPE)
    short = replace(context, original=model, data=replace(context.data, training=context.data.training.first(20)))
    assert Qat(**QUICK)(model, short)(torch.from_numpy(samples(SHAPE, 3))).shape == (3, 4)


def test_layers_of_one_axis_learn_too():
    def build():
        return nn.Sequential(nn.Conv1d(3, 4, 3), trained(nn.BatchNorm1d(4)), nn.ReLU(), nn.Conv1d(4, 4, 6), nn.Flatten())

    model = model_of(build, (3, 8))
    split = split_of(samples((3, 8), 48), np.random.default_rng(0).integers(0, 4, 48))
    context = Context(Data("sequences", split, split, split, "sequences"), model, metric("accuracy"), device="cpu")
    result, untrained = Qat(**QUICK)(model, context), Quantize()(model, context)
    for layer in ("0", "3"):
        weights = [each.reference.graph.state_dict()[f"{layer}.weight"] for each in (result, untrained)]
        assert (weights[0] - weights[1]).abs().max() > 0.01


def test_a_folded_batch_norm_learns_as_one_that_is_not(model):
    """With nothing rounded, training mode gives the network's own outputs, gradients and running statistics."""
    graph, _ = static.float_graph(model)
    folding, plain = fake_quantize.learning(model, graph, {}, Parameters((), ())), model.copy_graph()
    inputs = torch.from_numpy(samples(SHAPE, 16, seed=3))
    for each in (folding, plain):
        set_training(each.graph, training=True)
        each.recompile()
    outputs, expected = folding(inputs), plain(inputs)
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-4)
    for loss in (outputs, expected):
        loss.square().mean().backward()
    torch.testing.assert_close(folding.get_parameter("stem.0.weight").grad, plain.get_parameter("stem.0.weight").grad, rtol=1e-3, atol=1e-4)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(folding.get_buffer(f"body.1.{name}"), plain.get_buffer(f"body.1.{name}"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("share", "kept"), [(1.0, True), (0.0, False)])
def test_frozen_batch_norms_keep_their_statistics(share, kept, model, context, last_trained):
    Qat(**QUICK, freeze_batchnorm=share)(model, context)
    mean = last_trained[0].get_buffer("stem.1.running_mean")
    assert torch.equal(mean, model.graph.get_buffer("stem.1.running_mean")) == kept
    assert not torch.equal(last_trained[0].get_parameter("stem.1.weight"), model.graph.get_parameter("stem.1.weight"))


def test_a_channel_that_its_batch_norm_switched_off_stays_harmless(context):
    model = model_of(Classifier, SHAPE)
    model.graph.get_parameter("stem.1.weight").data[2] = 0
    result = Qat(**QUICK)(model, context)
    assert torch.isfinite(result(torch.from_numpy(samples(SHAPE, 8)))).all()


def test_pruned_weights_stay_zero(model, context):
    pruned = PruneWeights(sparsity=0.6)(model, context)
    result = Qat(**QUICK, scheme="w4a8")(pruned, context)
    for name in ("stem.0.weight", "body.0.weight", "plain.weight", "head.weight"):
        zero = pruned.graph.get_parameter(name) == 0
        assert zero.any()
        assert result.graph.state_dict()[name][zero].count_nonzero() == 0
        assert result.graph.state_dict()[name].count_nonzero() > 0


class StopInThirdEpoch(Silent):
    """Ctrl-C in the middle of a training of six steps an epoch."""

    def task(self, title, total=None):
        return nullcontext(_Interrupted()) if title == "qat" else super().task(title, total)


class _Interrupted:
    left = 14

    def advance(self, steps=1, note=""):  # noqa: ARG002
        self.left -= steps
        if self.left < 0:
            raise KeyboardInterrupt


def test_a_training_that_was_stopped_goes_on_to_the_same_bits(model, context, tmp_path):
    options = Qat(**QUICK | {"epochs": 4})
    whole = options(model, context)
    with pytest.raises(KeyboardInterrupt):
        options(model, replace(context, directory=tmp_path, progress=StopInThirdEpoch()))
    assert len(list(tmp_path.iterdir())) == 1
    resumed = options(model, replace(context, directory=tmp_path))
    for name, tensor in whole.graph.state_dict().items():
        assert torch.equal(tensor, resumed.graph.state_dict()[name]), name
    assert whole.history[-1].details == resumed.history[-1].details


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheme": "float16"}, "scheme 'float16' is not known"),
        ({"teacher": "orignal"}, r"teacher 'orignal' is .*; did you mean 'original'\?"),
        ({"observer": "max"}, "observer 'max' is not known"),
        ({"freeze_batchnorm": 1.5}, "freeze_batchnorm must be a share from 0 to 1, not 1.5"),
        ({"alpha": 2.0}, "alpha must be from 0"),
    ],
)
def test_impossible_options_die_at_construction(options, message):
    with pytest.raises(UserError, match=message):
        Qat(**options)


def test_what_no_runtime_computes_is_refused_before_training(last_trained):
    model = model_of(lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.GELU(), nn.Flatten(), nn.Linear(256, 4)), SHAPE)
    context = replace(context_of(model, samples(SHAPE, 16)), exports=("c",))
    with pytest.raises(UserError, match="qat: layer '1': C has no int16x8 kernel for operator 'gelu'"):
        Qat(scheme="int16x8")(model, context)
    assert not last_trained


@pytest.mark.parametrize(("factor", "warned"), [(1, False), (255, True)])
def test_samples_of_another_scale_than_in_training_are_warned_of(factor, warned):
    def build():
        convolution, norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, momentum=None)
        norm(convolution(torch.from_numpy(samples(SHAPE, 256))))
        return nn.Sequential(convolution, norm, nn.Flatten(), nn.Linear(288, 4))

    model, given = model_of(build, SHAPE), labelled(64)
    split = split_of(samples(SHAPE, 64, seed=3) * np.float32(factor), given.load(np.arange(64))[1])
    context = Context(Data("noise", split, split, split, "noise"), model, metric("accuracy"), device="cpu")
    lines = Qat(**QUICK | {"epochs": 1})(model, context).history[-1].lines
    assert any(line.startswith("warning: calibration samples look unlike training") for line in lines) == warned


def small_network():
    def block(inputs, outputs, kernel=3, **options):
        convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **options)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    features = [*block(1, 8, stride=2), *block(8, 8, groups=8), *block(8, 16, 1), *block(16, 16, groups=16), *block(16, 16, 1)]
    return nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


def test_training_wins_back_what_four_bits_cost():
    data = compress.load_data("digits")
    torch.manual_seed(0)
    model = compress.apply(compress.load(small_network(), data), data, {"finetune": {"epochs": 15, "learning_rate": 0.02, "held_out": 0.0}})
    model = replace(model, origin=None)  # the teacher
    inputs, labels = next(data.evaluation.batches(400))

    def loss(network):
        return float(nn.functional.cross_entropy(network(torch.from_numpy(inputs[0])), torch.from_numpy(labels)))

    coarse = {"scheme": "w4a8", "weight_observer": "minmax", "weight_granularity": "tensor"}
    quantized = compress.apply(model, data, {"quantize": coarse})
    learned = compress.apply(model, data, {"qat": coarse | {"epochs": 6, "learning_rate": 0.002, "held_out": 0.0}})
    assert loss(learned) - loss(model) < 0.5 * (loss(quantized) - loss(model))
