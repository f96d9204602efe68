"""ONNX files as sources: every operator gives what ONNX Runtime gives, and the network can be pruned, quantized and exported."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from quantized_networks import context_of, samples, split_of

import compress
from compress.data.base import Data
from compress.exporters.onnx import Onnx
from compress.exporters.tflite import Tflite
from compress.parity import compare
from compress.passes.quantize import Quantize
from compress.reading.layout import arrange
from compress.sources.base import SourceOptions
from targets.errors import UserError
from targets.formats import tflite as tflite_format

IMAGE, ROW, STEPS = (4, 8, 6), (12,), (5, 3)
FLOAT, WHOLE = np.float32, np.int64


def constant(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape).astype(FLOAT) * FLOAT(0.5)


def whole(*values):
    return np.array(values, WHOLE)


def write(path, nodes, shape, constants=None, opset=17, outputs=("y",)):
    """An ONNX file of some nodes, whose input is x and whose batch axis is free."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])]
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    stored = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    model = helper.make_model(
        helper.make_graph(nodes, "graph", inputs, made, stored), opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    )
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def node(operator, *inputs, outputs=("y",), **attributes):
    return helper.make_node(operator, ["x", *inputs], outputs, name=f"the_{operator}", **attributes)


def data_of(inputs):
    split = split_of(inputs)
    return Data("random", split, split, split, "random")


def runtime(path, inputs):
    return onnxruntime.InferenceSession(str(path)).run(None, {"x": inputs})[0]


ALONE = {
    "convolution": ([node("Conv", "w", "b", pads=[1, 1, 1, 1])], IMAGE, {"w": constant(6, 4, 3, 3), "b": constant(6)}),
    "uneven padding": ([node("Conv", "w", pads=[0, 1, 1, 0], strides=[2, 2])], IMAGE, {"w": constant(6, 4, 3, 3)}),
    "padding by rule": ([node("Conv", "w", auto_pad="SAME_UPPER", strides=[2, 2])], IMAGE, {"w": constant(6, 4, 3, 3)}),
    "grouped": ([node("Conv", "w", group=2, dilations=[2, 1])], IMAGE, {"w": constant(6, 2, 3, 3)}),
    "sequence convolution": ([node("Conv", "w", pads=[1, 1])], STEPS, {"w": constant(4, 5, 3)}),
    "transposed": ([node("ConvTranspose", "w", strides=[2, 2], pads=[1, 1, 1, 1])], IMAGE, {"w": constant(4, 3, 3, 3)}),
    "transposed by rule": ([node("ConvTranspose", "w", strides=[2, 2], auto_pad="SAME_UPPER")], IMAGE, {"w": constant(4, 3, 3, 3)}),
    "product": ([node("MatMul", "w")], ROW, {"w": constant(12, 5)}),
    "general product": ([node("Gemm", "w", "b", transB=1)], ROW, {"w": constant(5, 12), "b": constant(5)}),
    "scaled product": ([node("Gemm", "w", "b", alpha=0.5, beta=2.0)], ROW, {"w": constant(12, 5), "b": constant(5)}),
    "batch norm": (
        [node("BatchNormalization", "s", "b", "m", "v", epsilon=1e-3)],
        IMAGE,
        {"s": constant(4), "b": constant(4), "m": constant(4), "v": constant(4) ** 2 + 1},
    ),
    "layer norm": ([node("LayerNormalization", "s", "b")], STEPS, {"s": constant(3), "b": constant(3)}),
    "instance norm": ([node("InstanceNormalization", "s", "b")], IMAGE, {"s": constant(4), "b": constant(4)}),
    "add a constant": ([node("Add", "c")], IMAGE, {"c": constant(4, 1, 1)}),
    "power": ([node("Pow", "c")], ROW, {"c": np.array(2.0, FLOAT)}),
    "clip": ([node("Clip", "low", "high")], ROW, {"low": np.array(-0.5, FLOAT), "high": np.array(0.5, FLOAT)}),
    "prelu": ([node("PRelu", "a")], IMAGE, {"a": constant(4, 1, 1)}),
    "softmax": ([node("Softmax", axis=1)], IMAGE, {}),
    "hard sigmoid": ([node("HardSigmoid", alpha=0.3)], ROW, {}),
    "leaky relu": ([node("LeakyRelu", alpha=0.3)], ROW, {}),
    "elu": ([node("Elu")], ROW, {}),
    "max pool": ([node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])], IMAGE, {}),
    "max pool by rule": ([node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")], IMAGE, {}),
    "average pool": ([node("AveragePool", kernel_shape=[2, 2], strides=[2, 2])], IMAGE, {}),
    "average pool by rule": ([node("AveragePool", kernel_shape=[3, 3], auto_pad="SAME_LOWER", strides=[2, 2])], IMAGE, {}),
    "average with padding": ([node("AveragePool", kernel_shape=[3, 3], pads=[1, 0, 1, 0], count_include_pad=1)], IMAGE, {}),
    "global average": ([node("GlobalAveragePool")], IMAGE, {}),
    "global maximum": ([node("GlobalMaxPool")], IMAGE, {}),
    "reduce mean": ([node("ReduceMean", axes=[2, 3], keepdims=0)], IMAGE, {}),
    "reduce norm": ([node("ReduceL2", axes=[-1])], IMAGE, {}),
    "resize by scales": ([node("Resize", "", "s", mode="nearest")], IMAGE, {"s": np.array([1, 1, 2, 2], FLOAT)}),
    "resize linearly": ([node("Resize", "", "s", mode="linear")], IMAGE, {"s": np.array([1, 1, 2, 1.5], FLOAT)}),
    **{
        f"resize {mode} {place} {extra} {scales}": (
            [node("Resize", "", "s", mode=mode, coordinate_transformation_mode=place, **({"nearest_mode": extra} if extra else {}))],
            IMAGE,
            {"s": np.array([1, 1, *scales], FLOAT)},
        )
        for mode, place, extra, scales in (
            ("nearest", "asymmetric", "round_prefer_floor", (3, 3)),
            ("nearest", "half_pixel", "floor", (1.375, 1.5)),
            ("nearest", "align_corners", "round_prefer_ceil", (1.875, 0.5)),
            ("nearest", "asymmetric", "ceil", (0.375, 1.5)),
            ("linear", "asymmetric", "", (2, 3)),
            ("linear", "asymmetric", "", (0.625, 0.5)),
            ("linear", "align_corners", "", (1.875, 0.5)),
        )
    },
    "transpose": ([node("Transpose", perm=[0, 2, 3, 1])], IMAGE, {}),
    "flatten": ([node("Flatten", axis=2)], IMAGE, {}),
    "squeeze": ([node("Squeeze", "a")], (4, 1, 6), {"a": whole(2)}),
    "slice": ([node("Slice", "s", "e", "a", "t")], IMAGE, {"s": whole(1, 0), "e": whole(3, 2**31), "a": whole(1, 3), "t": whole(1, 2)}),
    "backwards": ([node("Slice", "s", "e", "a", "t")], STEPS, {"s": whole(-1), "e": whole(-(2**31)), "a": whole(1), "t": whole(-1)}),
    "pad": ([node("Pad", "p", "v")], IMAGE, {"p": whole(0, 0, 1, 0, 0, 0, 0, 2), "v": np.array(0.5, FLOAT)}),
    "reflect": ([node("Pad", "p", mode="reflect")], IMAGE, {"p": whole(0, 0, 1, 1, 0, 0, 1, 2)}),
    "gather": ([node("Gather", "i", axis=1)], IMAGE, {"i": whole(2, 0, -1)}),
    "pick one": ([node("Gather", "i", axis=2)], IMAGE, {"i": np.array(3, WHOLE)}),
    "tile": ([node("Tile", "r")], STEPS, {"r": whole(1, 2, 1)}),
    "depth to space": ([node("DepthToSpace", blocksize=2)], IMAGE, {}),
    "space to depth": ([node("SpaceToDepth", blocksize=2)], IMAGE, {}),
    "einsum": ([node("Einsum", "w", equation="nts,us->ntu")], STEPS, {"w": constant(4, 3)}),
    "where": (
        [node("Greater", "z", outputs=["c"]), helper.make_node("Where", ["c", "x", "z"], ["y"])],
        ROW,
        {"z": np.array(0.1, FLOAT)},
    ),
    "flatten by its shape": (
        [
            node("Shape", outputs=["shape"]),
            helper.make_node("Gather", ["shape", "zero"], ["batch"]),
            helper.make_node("Concat", ["batch", "rest"], ["wanted"], axis=0),
            helper.make_node("Reshape", ["x", "wanted"], ["y"]),
        ],
        IMAGE,
        {"zero": whole(0), "rest": whole(-1)},
    ),
    "batch kept by zero": ([node("Reshape", "s")], IMAGE, {"s": whole(0, 32, 6)}),
    "two halves": ([node("Split", outputs=["a", "b"], axis=1), helper.make_node("Mul", ["a", "b"], ["y"])], IMAGE, {}),
}


def loaded(path, inputs):
    return compress.load(path, data_of(inputs))


def check(path, shape, count=3):
    inputs = samples(shape, count)
    model = loaded(path, inputs)
    expected = runtime(path, inputs)
    np.testing.assert_allclose(model(torch.from_numpy(inputs)).numpy(), expected, rtol=1e-5, atol=1e-5)
    return model


def test_images_whose_sizes_are_alike_are_turned_and_not_reshaped():
    images = torch.arange(16.0).reshape(1, 4, 1, 4)
    torch.testing.assert_close(arrange(images, (1, 1, 4, 4)), images.permute(0, 2, 3, 1))


def test_weights_beside_the_file_count_in_its_fingerprint(tmp_path):
    weights = numpy_helper.from_array(np.ones((4, 3), np.float32), "w")
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size]) for name, size in (("x", 4), ("y", 3)))
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "graph", [given], [made], [weights])
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    source = SourceOptions("m.onnx", folder=tmp_path)
    before = source.fingerprint()
    (tmp_path / "m.data").write_bytes(np.zeros((4, 3), np.float32).tobytes())
    assert source.fingerprint() != before


@pytest.mark.parametrize("name", ALONE)
def test_an_operator_gives_what_onnx_runtime_gives(name, tmp_path):
    nodes, shape, constants = ALONE[name]
    model = check(write(tmp_path / "network.onnx", nodes, shape, constants), shape)
    assert model.free_batch


OLDER = {
    "softmax of all that follows": (9, [node("Softmax", axis=1)], IMAGE, {}),
    "axes as attributes": (11, [node("Unsqueeze", axes=[1])], STEPS, {}),
    "slice by attributes": (9, [node("Slice", starts=[0], ends=[2], axes=[1])], STEPS, {}),
    "upsample": (9, [node("Upsample", "s", mode="nearest")], IMAGE, {"s": np.array([1, 1, 2, 2], FLOAT)}),
    "linear upsample": (9, [node("Upsample", "s", mode="linear")], IMAGE, {"s": np.array([1, 1, 2, 3], FLOAT)}),
    "resize of ten": (10, [node("Resize", "s", mode="linear")], IMAGE, {"s": np.array([1, 1, 2, 2], FLOAT)}),
    "pads as attributes": (9, [node("Pad", pads=[0, 0, 1, 1, 0, 0, 1, 1], value=0.5)], IMAGE, {}),
    "bounds as attributes": (9, [node("Clip", min=-0.5, max=0.5)], ROW, {}),
    "dropout": (9, [node("Dropout", ratio=0.5)], ROW, {}),
    "reshape": (7, [node("Reshape", "s")], IMAGE, {"s": whole(0, -1)}),
}


@pytest.mark.parametrize("name", OLDER)
def test_older_operator_sets_are_read_by_their_own_rules(name, tmp_path):
    opset, nodes, shape, constants = OLDER[name]
    check(write(tmp_path / "network.onnx", nodes, shape, constants, opset), shape)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("operator", ["LSTM", "GRU"])
def test_recurrent_layers_have_their_gates_in_the_right_order(operator, direction, tmp_path):
    gates, ways = {"LSTM": 4, "GRU": 3}[operator], 2 if direction == "bidirectional" else 1
    weights = {"w": constant(ways, gates * 6, 3), "r": constant(ways, gates * 6, 6, seed=2), "b": constant(ways, gates * 12, seed=3)}
    options = {"hidden_size": 6, "direction": direction} | ({"linear_before_reset": 1} if operator == "GRU" else {})
    nodes = [
        node("Transpose", perm=[1, 0, 2], outputs=["t"]),
        helper.make_node(operator, ["t", "w", "r", "b"], ["s"], **options),
        helper.make_node("Transpose", ["s"], ["y"], perm=[2, 0, 1, 3]),
    ]
    check(write(tmp_path / "network.onnx", nodes, STEPS, weights), STEPS)


def test_a_scan_is_written_out(tmp_path):
    """A running sum over time."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("state", "entry", "sum", "out")]
    body = helper.make_graph(
        [helper.make_node("Add", ["state", "entry"], ["sum"]), helper.make_node("Mul", ["sum", "half"], ["out"])],
        "body", value[:2], value[2:], [numpy_helper.from_array(np.array(0.5, FLOAT), "half")],
    )  # fmt: skip
    nodes = [
        node("Transpose", perm=[1, 0, 2], outputs=["t"]),
        node("ReduceMean", axes=[1], keepdims=0, outputs=["start"]),
        helper.make_node("Scan", ["start", "t"], ["end", "s"], body=body, num_scan_inputs=1),
        helper.make_node("Transpose", ["s"], ["y"], perm=[1, 0, 2]),
    ]
    check(write(tmp_path / "network.onnx", nodes, STEPS), STEPS)


@settings(max_examples=15, deadline=None)
@given(
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    pads=st.lists(st.integers(0, 2), min_size=4, max_size=4),
    group=st.sampled_from([1, 2, 4]),
)
def test_any_convolution_gives_what_onnx_runtime_gives(tmp_path_factory, kernel, stride, dilation, pads, group):
    options = {"strides": [stride] * 2, "dilations": [dilation] * 2, "pads": pads, "group": group}
    path = tmp_path_factory.mktemp("convolution") / "network.onnx"
    check(write(path, [node("Conv", "w", **options)], IMAGE, {"w": constant(8, 4 // group, kernel, kernel)}), IMAGE)


class Digits(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU())
        self.body = torch.nn.Conv2d(8, 8, 3, padding=1)
        self.head = torch.nn.Linear(8, 5)

    def forward(self, x):
        x = self.stem(x)
        return self.head(torch.relu(x + self.body(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("exported") / "digits.onnx"
    inputs = samples(IMAGE, 64)
    model = compress.load(Digits(), data_of(inputs))
    Onnx()(model, path.parent)
    return model, path.parent / f"{model.name}.onnx", inputs


def test_a_network_keeps_the_names_of_its_weights_and_layers(exported):
    _, path, inputs = exported
    model = loaded(path, inputs)
    assert {"body.weight", "body.bias", "head.weight", "head.bias"} <= {name for name, _ in model.graph.named_parameters()}
    assert [each.name for each in model.graph.graph.nodes if each.op == "placeholder"] == ["x"]


def test_what_came_as_onnx_is_pruned_and_quantized_like_any_network(exported, tmp_path):
    original, path, inputs = exported
    model = loaded(path, inputs)
    data = data_of(inputs)
    pruned = compress.apply(model, data, {"prune_channels": {"ratio": 0.5}}, "quantize")
    assert pruned.graph.get_buffer("body.weight").shape == (4, 4, 3, 3)
    there, here = (
        Tflite()(Quantize()(each, context_of(each, inputs)), tmp_path / name) for each, name in ((original, "torch"), (model, "onnx"))
    )
    outputs = [tflite_format.load(each.path).tensors[-1].quantization.scale for each in (there, here)]
    np.testing.assert_allclose(*outputs, rtol=1e-4)
    assert here.bytes == pytest.approx(there.bytes, rel=0.05)


def test_a_quantized_file_becomes_tflite_with_the_same_scales(exported, tmp_path):
    original, _, inputs = exported
    quantized = Quantize()(original, context_of(original, inputs))
    model = loaded(Onnx()(quantized, tmp_path).path, inputs)
    assert model.stage == "quantized"
    there, here = (tflite_format.load(Tflite()(each, tmp_path / name).path) for each, name in ((quantized, "torch"), (model, "onnx")))
    scales = [
        {float(each.quantization.scale[0]) for each in file.tensors if each.quantization and each.dtype == "int8"} for file in (there, here)
    ]
    assert scales[0] == scales[1]
    assert [each.name for each in there.operators] == [each.name for each in here.operators]
    values = torch.from_numpy(inputs)
    assert compare(quantized(values).numpy(), model(values).numpy()).largest_steps in (None, 0.0)


def test_weights_that_are_stored_as_integers_train_under_their_own_names(exported, tmp_path):
    original, _, inputs = exported
    stored = Quantize(scheme="weight_only")(original, context_of(original, inputs))
    model = loaded(Onnx()(stored, tmp_path).path, inputs)
    shapes = {name: value.shape for name, value in model.graph.named_parameters()}
    assert (model.stage, shapes["body.weight"], shapes["head.weight"]) == ("float", (8, 8, 3, 3), (5, 8))
    assert not [*model.graph.buffers()]
    values = torch.from_numpy(inputs)
    np.testing.assert_allclose(model(values).numpy(), stored(values).numpy(), rtol=0, atol=1e-5)


def test_images_of_a_tensorflow_network_are_given_channels_first(tmp_path):
    nodes = [node("Transpose", perm=[0, 3, 1, 2], outputs=["t"]), helper.make_node("Conv", ["t", "w"], ["y"])]
    path = write(tmp_path / "network.onnx", nodes, (8, 6, 4), {"w": constant(5, 4, 3, 3)})
    inputs = samples(IMAGE, 3)
    model = loaded(path, inputs)
    np.testing.assert_allclose(model(torch.from_numpy(inputs)).numpy(), runtime(path, inputs.transpose(0, 2, 3, 1)), rtol=1e-5, atol=1e-5)
    assert [each.name for each in model.graph.graph.nodes if each.op == "call_function"] == ["conv2d"]


REFUSED = {
    "an operator that nobody knows": (
        [node("NonMaxSuppression", "w")],
        {"w": constant(1, 1, 3)},
        "can't be read yet: NonMaxS",
    ),
    "another domain": ([helper.make_node("Fused", ["x"], ["y"], domain="com.example")], {}, "no operator of ONNX's standard"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named(name, tmp_path):
    nodes, constants, message = REFUSED[name]
    model = helper.make_model(
        helper.make_graph(
            nodes, "graph", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 12])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 12])],
            [numpy_helper.from_array(array, key) for key, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)],
    )  # fmt: skip
    onnx.save(model, tmp_path / "network.onnx")
    with pytest.raises(UserError, match=message):
        loaded(tmp_path / "network.onnx", samples(ROW, 2))


def test_data_of_another_shape_are_refused(tmp_path):
    path = write(tmp_path / "network.onnx", *ALONE["convolution"])
    with pytest.raises(UserError, match=r"takes samples of shape \[4, 8, 6\], the data's are \[3, 5, 5\]"):
        loaded(path, samples((3, 5, 5), 2))


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_is_one_clear_line(seed, tmp_path, exported):
    content = bytearray(exported[1].read_bytes())
    random = np.random.default_rng(seed)
    if seed % 2:
        content = content[: random.integers(1, len(content))]
    else:
        for place in random.integers(0, min(400, len(content)), 8):
            content[place] ^= int(random.integers(1, 256))
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content)
    said = []
    try:
        loaded(path, exported[2])
    except UserError as error:
        said = str(error).splitlines()
    assert len(said) <= 1
