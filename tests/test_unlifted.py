"""Float TFLite files with an operator that torch hasn't: evaluated, quantized, exported and compiled as the files that they are."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tflite_files import Builder, reference

import cli
import compress
from compress import cost, parity, store
from compress.data.base import Data, Split
from compress.passes import PASSES
from compress.unlifted import session
from targets.errors import UserError
from targets.formats import tflite

CHANNELS = 16
MIRROR = {"options": "MirrorPadOptions", "mode": 1}
"""With the edge repeated, which torch doesn't."""


@pytest.fixture(scope="module")
def digits():
    whole = compress.load_data("digits")
    return dataclasses.replace(whole, calibration=whole.calibration.first(48), evaluation=whole.evaluation.first(200))


def samples(split):
    (inputs,), labels = next(split.batches(split.samples))
    return inputs, labels


def network(path, digits, *, summed=False):
    """A convolution with random weights and a dense layer fitted to the digits by least squares; `summed`: of a CUMSUM."""
    random = np.random.default_rng(0)
    builder = Builder()
    given = builder.input((1, 8, 8, 1), None, dtype="float32", name="image")
    image = given
    if summed:
        image = builder.tensor((1, 8, 8, 1), "float32", name="sums")
        builder.operator("CUMSUM", [given, builder.constant(1)], [image], "CumsumOptions")
    padded, mapped = (builder.tensor((1, *size), "float32", name=name) for size, name in (((10, 10, 1), "pad"), ((8, 8, CHANNELS), "conv")))
    pooled, flat = builder.tensor((1, 4, 4, CHANNELS), "float32", name="pool"), builder.tensor((1, 16 * CHANNELS), "float32", name="flat")
    builder.operator("MIRROR_PAD", [image, builder.constant([[0, 0], [1, 1], [1, 1], [0, 0]])], [padded], **MIRROR)
    kernel = builder.constant(random.normal(0, 0.5, (CHANNELS, 3, 3, 1)), "float32")
    bias = builder.constant(random.normal(0, 0.2, CHANNELS), "float32")
    strides = {"strideH": 1, "strideW": 1, "padding": 1, "fusedActivationFunction": 1}
    builder.operator("CONV_2D", [padded, kernel, bias], [mapped], "Conv2DOptions", **strides)
    window = {"strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2, "padding": 1}
    builder.operator("MAX_POOL_2D", [mapped], [pooled], "Pool2DOptions", **window)
    builder.operator("RESHAPE", [pooled, builder.constant([1, 16 * CHANNELS])], [flat], "ReshapeOptions", newShape=[1, 16 * CHANNELS])
    content = builder.write(path).read_bytes()
    inputs, labels = samples(digits.training)
    features = np.c_[session.run(content, [inputs.transpose(0, 2, 3, 1)])[0].astype(np.float64), np.ones(len(labels))]
    wanted = np.eye(10)[labels] * 8 - 1
    fitted = np.linalg.solve(features.T @ features + 3 * np.eye(features.shape[1]), features.T @ wanted)
    scores = builder.tensor((1, 10), "float32", name="scores")
    dense = [builder.constant(fitted[:-1].T, "float32"), builder.constant(fitted[-1], "float32")]
    builder.operator("FULLY_CONNECTED", [flat, *dense], [scores], "FullyConnectedOptions")
    return builder.write(path)


@pytest.fixture(scope="module")
def path(tmp_path_factory, digits):
    return network(tmp_path_factory.mktemp("files") / "mirrored.tflite", digits)


@pytest.fixture(scope="module")
def model(path, digits):
    return compress.load(path, digits)


def test_the_network_is_the_file(path, model, digits, tmp_path):
    inputs, _ = samples(digits.evaluation)
    expected = np.concatenate([run[0] for run in reference(path, [[each[None]] for each in inputs[:20].transpose(0, 2, 3, 1)])])
    np.testing.assert_allclose(model(torch.from_numpy(inputs[:20])).numpy(), expected, rtol=1e-5, atol=1e-5)
    assert (cost.macs(model), cost.parameters(model)) == (64 * 9 * CHANNELS + 2560, 10 * CHANNELS + 2570)
    assert compress.export(model, "tflite", tmp_path).path.read_bytes() == path.read_bytes()
    store.save(model, tmp_path / "kept")
    np.testing.assert_array_equal(store.load(tmp_path / "kept")(torch.from_numpy(inputs)).numpy(), model(torch.from_numpy(inputs)).numpy())


def test_int8_keeps_the_accuracy_and_is_compiled(model, digits, tmp_path):
    made = compress.apply(model, digits, "quantize")
    assert compress.evaluate(made, digits) >= compress.evaluate(model, digits) - 0.007 > 0.9
    assert made.history[-1].details["layers"] == dict.fromkeys(("pad", "conv", "pool", "flat", "scores"), "int8")
    file = compress.export(made, "tflite", tmp_path)
    assert {tensor.dtype for tensor in tflite.load(file.path).tensors} == {"int8", "int32"}
    row = compress.profile(file, "host", digits)
    assert (row.evaluation.metric, parity.rounds(made)) == (compress.evaluate(made, digits), True)
    compiled = compress.profile(compress.export(made, "c", tmp_path), "host", digits)
    assert parity.compare(row.evaluation.outputs, compiled.evaluation.outputs, file.outputs[0].scale).largest_steps < 1.5


def error(model, digits, options, *passes):
    inputs = torch.from_numpy(samples(digits.evaluation)[0])
    made = compress.apply(model, digits, {"quantize": options}, *passes)
    return parity.compare(model(inputs).numpy(), made(inputs).numpy()).relative_error


@pytest.mark.filterwarnings("ignore:Warning. Enabling `experimental_preserve_all_tensors`:UserWarning")
def test_our_ranges_are_closer_than_the_packers_own(path, model, digits):
    from ai_edge_quantizer import quantizer

    inputs, _ = samples(digits.evaluation)
    given, _ = samples(digits.calibration)
    own = quantizer.Quantizer(add_signature(path))
    own.add_static_config(".*", "*", 8, 8)
    seen = own.calibrate({"serve": [{"image": each[None]} for each in given.transpose(0, 2, 3, 1)]}, num_threads=1)
    content = own.quantize(seen, enable_progress_bar=False, enable_progress_report=False).quantized_model
    theirs = session.run(bytes(content), [inputs.transpose(0, 2, 3, 1)])[0]
    found = parity.compare(model(torch.from_numpy(inputs)).numpy(), theirs).relative_error
    assert error(model, digits, {}) < found / 2


def add_signature(path):
    """The packer's own calibration runs signatures, which our files have none of."""
    from ai_edge_litert import schema_py_generated as schema

    from targets.formats import tflite_objects

    file = tflite_objects.read(path.read_bytes())
    entry = schema.SignatureDefT()
    entry.signatureKey, entry.inputs, entry.outputs, entry.subgraphIndex = b"serve", [], [], 0
    for ports, indices, name in (
        (entry.inputs, file.subgraphs[0].inputs, b"image"),
        (entry.outputs, file.subgraphs[0].outputs, b"scores"),
    ):
        port = schema.TensorMapT()
        port.name, port.tensorIndex = name, int(indices[0])
        ports.append(port)
    file.signatureDefs = [entry]
    return tflite_objects.write(file)


@pytest.mark.parametrize(
    ("options", "most", "weights"),
    [
        ({"scheme": "int16x8"}, 0.03, "int8"),
        ({"scheme": "w4a8"}, 0.3, "int4"),
        ({"scheme": "dynamic"}, 0.05, "int8"),
        ({"scheme": "weight_only"}, 0.03, "int8"),
        ({"scheme": "weight_only", "bits": 4}, 0.3, "int4"),
        ({"scheme": "float16"}, 0.001, "float16"),
        ({"observer": "minmax", "weight_granularity": "tensor"}, 0.1, "int8"),
        ({"observer": "entropy", "weight_rounding": "nearest", "weight_observer": "minmax"}, 0.1, "int8"),
        ({"overrides": [{"match": "scores", "scheme": "float"}, {"operator": "conv_2d", "scheme": "int16x8"}]}, 0.05, "float32"),
    ],
)
def test_every_scheme_is_packed(options, most, weights, model, digits, tmp_path):
    assert 0 < error(model, digits, options) < most
    graph = tflite.load(compress.export(compress.apply(model, digits, {"quantize": options}), "tflite", tmp_path).path)
    assert any(tensor.data is not None and tensor.elements == 2560 and tensor.dtype == weights for tensor in graph.tensors)


@pytest.mark.parametrize("scheme", ["w4a8", "int16x8"])
def test_biases_are_corrected_in_the_file(scheme, model, digits):
    assert error(model, digits, {"scheme": scheme}, "correct_bias") < 0.9 * error(model, digits, {"scheme": scheme})


def test_biases_of_float_layers_are_left(model, digits):
    with pytest.raises(UserError, match="correct_bias: no convolution or dense layer of this network computes with integers"):
        compress.apply(model, digits, {"quantize": {"scheme": "dynamic"}}, "correct_bias")


REFUSED = [
    ({}, (), r"layer 'sums': ai-edge-quantizer has no operator 'cumsum' of int8; .*'overrides: \[\{operator: cumsum, scheme: float\}\]'"),
    ({"overrides": [{"operator": "cumsun", "scheme": "float"}]}, (), "matches no layer; did you mean 'cumsum'"),
    ({"overrides": [{"operator": "cumsum", "scheme": "float"}]}, ("c",), "'c' among the exports.* layers in float: sums; "),
    ({"engine": "neural-compressor", "algorithm": "gptq"}, (), "'engine' needs a graph of torch's operators.*CUMSUM"),
    ({"scheme": "weight_only", "block": 32}, (), "'block' needs a graph of torch's operators"),
    ({}, ("onnx",), "can't become ONNX .*CUMSUM.*leave 'onnx' out"),
]


def test_what_cannot_be_had_is_said_before_calibration(digits, tmp_path):
    model = compress.load(network(tmp_path / "summed.tflite", digits, summed=True), digits)
    nothing = dataclasses.replace(digits, calibration=Split(10**9, lambda _: pytest.fail("calibrates")))
    for options, exports, said in REFUSED:
        context = dataclasses.replace(compress.api.make_context(model, nothing), exports=exports)
        with pytest.raises(UserError, match=said):
            compress.recipe.build(PASSES.load("quantize"), options, "quantize")(model, context)
    made = compress.apply(model, digits, {"quantize": {"overrides": [{"operator": "cumsum", "scheme": "float"}]}})
    assert compress.evaluate(made, digits) >= compress.evaluate(model, digits) - 0.007
    file = compress.export(made, "tflite", tmp_path)
    assert [port.dtype for port in (*file.inputs, *file.outputs)] == ["float32", "int8"]
    with pytest.raises(UserError, match=r"^summed.tflite: layer 'sums' \(CUMSUM\): no kernel for this operator; replace it"):
        compress.export(model, "c", tmp_path)


@pytest.mark.parametrize("name", [name for name in PASSES.names() if name not in ("quantize", "correct_bias")])
def test_passes_that_follow_torchs_operators_name_the_one_that_does_not(name, model, digits):
    with pytest.raises(
        UserError, match=rf"^{name}: needs a graph .*MIRROR_PAD.*; passes that work on it: correct_bias, quantize; for others"
    ):
        compress.apply(model, digits, name)


def test_onnx_is_refused(model, tmp_path):
    with pytest.raises(UserError, match=r"^onnx: this TFLite file has no graph .*MIRROR_PAD.*; leave 'onnx' out of 'export'$"):
        compress.export(model, "onnx", tmp_path)


def data_of(*shape):
    inputs = np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)
    split = Split(8, lambda rows: ((inputs[rows],), np.zeros(len(rows), np.int64)))
    return Data("random", split, split, split, "random")


def padded(shape, result):
    builder = Builder()
    made = builder.tensor(result, "float32")
    given = builder.input(shape, None, dtype="float32")
    builder.operator("MIRROR_PAD", [given, builder.constant([[0, 0], [1, 1], [1, 1], [0, 0]])], [made], **MIRROR)
    return builder, made


def test_images_that_come_out_are_laid_out_as_those_that_go_in(tmp_path):
    path = padded((1, 4, 4, 2), (1, 6, 6, 2))[0].write(tmp_path / "image.tflite")
    for shape, order, back in (((2, 4, 4), (0, 2, 3, 1), (0, 3, 1, 2)), ((4, 4, 2), None, (0, 1, 2, 3))):
        data = data_of(*shape)
        model = compress.load(path, data)
        inputs, _ = samples(data.evaluation)
        laid_out = inputs if order is None else inputs.transpose(order)
        expected = np.concatenate([run[0] for run in reference(path, [[each[None]] for each in laid_out])])
        np.testing.assert_array_equal(model(torch.from_numpy(inputs)).numpy(), expected.transpose(back))
        artifact = compress.export(compress.apply(model, data, "quantize"), "tflite", tmp_path / f"{order}")
        assert [port.permutation for port in (*artifact.inputs, *artifact.outputs)] == [order, order]


def unknown():
    builder = Builder()
    made = builder.tensor((1, 3), "float32")
    builder.operator("CUSTOM", [builder.input((1, 3), None, dtype="float32")], [made])
    builder.codes[0].customCode = "Mine"
    return builder


def batchless():
    builder, made = padded((1, 4, 4, 2), (1, 6, 6, 2))
    builder.operator("RESHAPE", [made, builder.constant([36, 2])], [builder.tensor((36, 2), "float32")], "ReshapeOptions", newShape=[36, 2])
    return builder


@pytest.mark.parametrize(
    ("builder", "shape", "said"),
    [
        (unknown(), (3,), "operator .*CUSTOM:Mine can't be lifted .*; nor can it stay a TFLite file: .*unresolved custom op: Mine"),
        (
            padded((4, 4, 4, 2), (4, 6, 6, 2))[0],
            (2, 4, 4),
            r"operator .*MIRROR_PAD.*has shape \(4, 4, 4, 2\); export it for a batch size of 1",
        ),
        (batchless(), (2, 4, 4), r"operator .*MIRROR_PAD.*is float32 \[36, 2\], no row of numbers for one sample"),
    ],
)
def test_what_litert_cannot_take_either_is_one_line(builder, shape, said, tmp_path):
    builder.write(tmp_path / "odd.tflite")
    with pytest.raises(UserError, match=rf"^{tmp_path / 'odd.tflite'}: {said}.*$"):
        compress.load(tmp_path / "odd.tflite", data_of(*shape))


def test_a_recipe_runs_and_inspect_tells(path, capsys, tmp_path, monkeypatch):
    def edgepress(*words):
        monkeypatch.setattr(sys, "argv", ["edgepress", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    recipe = {"version": 1, "name": "mirrored", "model": {"source": str(path)}, "data": {"builtin": {"name": "digits", "evaluation": 100}}}
    recipe |= {"passes": ["quantize"], "export": ["tflite"], "targets": ["host"], "measure": {"repetitions": 1, "warmup": 0}}
    Path("recipe.yaml").write_text(json.dumps(recipe))
    edgepress("run", "recipe.yaml", "--output", "out")
    report = json.loads(Path("out/report.json").read_text())
    assert report["rows"][0]["port_error"] == 0.0
    assert Path("out/recipe.lock.yaml").is_file()
    found = json.loads(edgepress("inspect", str(path), "--json"))
    assert [each["name"] for each in found["passes"] if each["works"]] == ["correct_bias", "quantize"]
    assert {(each["name"], each["on"]) for each in found["exports"] if each["works"]} == {
        (name, on) for name in ("c", "tflite") for on in ("float", "int8")
    }
    assert "nucleo-l4r5zi" in {each["name"] for each in found["targets"] if each["works"]}
    assert "MIRROR_PAD" in found["notes"][0]
