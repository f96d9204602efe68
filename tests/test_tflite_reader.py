"""Reading .tflite files: what they say, and that no damage to them ends in anything but one clear error."""

import hashlib

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from compiler_networks import convolution
from operator_networks import everywhere
from tflite_files import Builder, merged

from targets.errors import UserError
from targets.formats import tflite
from targets.formats.tflite_options import Activation, Conv2DOptions, Padding
from targets.microcontroller.compiler import lower


@pytest.fixture
def path(tmp_path):
    return convolution(channels=5, stride=(2, 1), activation=3).write(tmp_path / "net.tflite")


def test_an_artifact_tells_what_goes_in_and_out(path):
    artifact = tflite.read(path)
    content = path.read_bytes()
    assert (artifact.format, artifact.bytes, artifact.sha256) == ("tflite", len(content), hashlib.sha256(content).hexdigest())
    (given,), (made,) = artifact.inputs, artifact.outputs
    assert (given.shape, given.dtype, given.zero_point, made.shape, made.zero_point) == ((1, 9, 7, 4), "int8", -7, (1, 5, 7, 5), 4)
    assert given.scale == pytest.approx(0.05)


def test_a_graph_has_options_constants_and_scales(path):
    graph = tflite.load(path)
    (operator,) = graph.operators
    assert operator.name == "CONV_2D"
    assert operator.options == Conv2DOptions(Padding.SAME, stride_w=1, stride_h=2, activation=Activation.RELU6)
    weights, bias = (graph.tensors[index] for index in operator.inputs[1:])
    assert weights.data.shape == weights.shape == (5, 3, 3, 4)
    assert weights.quantization.per_channel
    assert weights.quantization.axis == 0
    assert bias.data.dtype == np.int32
    assert not weights.data.flags.writeable


def test_an_open_batch_is_one(tmp_path):
    builder = convolution()
    for tensor in builder.tensors[::3]:
        tensor.shapeSignature = [-1, *tensor.shape[1:]]
        tensor.shape = [8, *tensor.shape[1:]]
    assert tflite.read(builder.write(tmp_path / "net.tflite")).inputs[0].shape == (1, 9, 7, 4)


@pytest.mark.parametrize(
    "content", [b"", b"TFL3", b"\x1c\0\0\0TFL3", b"not a model at all", b"\xff" * 100, b"\x08\0\0\0TFL3" + b"\xff" * 64]
)
def test_what_is_no_model_is_refused(content, tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"net\.tflite: not a valid \.tflite file"):
        tflite.read(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.tflite", tmp_path):
        with pytest.raises(UserError, match="can't be read"):
            tflite.read(path)


def damage(builder, change):
    change(builder)
    return builder


def shorten(builder):
    builder.buffers[1].data = builder.buffers[1].data[:-1]


def second_origin(builder):
    builder.operators.append(builder.operators[0])


def unordered(builder):
    builder.operators[0].inputs[0] = builder.tensor((1, 9, 7, 4), "int8", 0.05)


def misses(builder):
    builder.operators[0].inputs[0] = 99


def scales(builder):
    builder.tensors[1].quantization.scale = np.ones(3, np.float32)
    builder.tensors[1].quantization.zeroPoint = np.zeros(3, np.int64)


def zero_points(builder):
    builder.tensors[1].quantization.zeroPoint = np.zeros(2, np.int64)


def negative(builder):
    builder.tensors[0].shape = [1, -9, 7, 4]


def huge(builder):
    builder.tensors[0].shape = [1, 2**30, 2**30, 4]


def unknown_padding(builder):
    builder.operators[0].builtinOptions.padding = 7


def unknown_operator(builder):
    builder.codes[0].builtinCode = 9999


def unknown_type(builder):
    builder.tensors[0].type = 99


def unknown_code(builder):
    builder.operators[0].opcodeIndex = 3


CHANGES = (
    *(shorten, second_origin, unordered, misses, scales, zero_points),
    *(negative, huge, unknown_padding, unknown_operator, unknown_type, unknown_code),
)


@pytest.mark.parametrize("change", CHANGES)
def test_contradictions_are_refused_in_one_line(change, tmp_path):
    path = damage(convolution(), change).write(tmp_path / "net.tflite")
    with pytest.raises(UserError, match=r"net\.tflite: not a valid \.tflite file: .*; export or download it again") as raised:
        tflite.load(path)
    assert "\n" not in str(raised.value)


def test_names_are_kept_from_breaking_the_line(tmp_path):
    builder = Builder()
    given = builder.input((1, 4), name="a\nb")
    builder.operator("RELU", [given], [builder.tensor((1, 4), "int8", 0.05)])
    builder.tensors[0].shape = [1, -4]
    with pytest.raises(UserError) as raised:
        tflite.load(builder.write(tmp_path / "net.tflite"))
    assert "\n" not in str(raised.value)


def compiles(path):
    """Whether the file is read and compiled; whatever is wrong with it has to be told as a UserError."""
    try:
        lower(tflite.load(path), "net")
    except UserError:
        return False
    return True


def test_a_file_cut_short_anywhere_ends_in_an_error(path):
    content = path.read_bytes()
    for length in range(0, len(content), 3):
        path.write_bytes(content[:length])
        compiles(path)


def test_a_thousand_mutations_end_in_an_error_or_in_another_network(tmp_path):
    networks = [builder for _, builder in everywhere()]
    content = merged(networks[::3]).write(tmp_path / "all.tflite").read_bytes()
    generator = np.random.default_rng(0)
    passed = 0
    path = tmp_path / "mutated.tflite"
    for number in range(1000):
        mutated = bytearray(convolution().write(path).read_bytes() if number % 10 else content)
        for _ in range(generator.choice([1, 2, 8])):
            mutated[generator.integers(len(mutated))] = generator.choice([0, 1, 127, 128, 255, generator.integers(256)])
        path.write_bytes(bytes(mutated))
        passed += compiles(path)
    assert 0 < passed < 1000


def test_other_types_than_numbers_are_read(tmp_path):
    builder = Builder()
    given = builder.input((1, 4))
    builder.operator("CUSTOM", [given], [builder.tensor((1, 4), "int8", 0.05)])
    builder.codes[0].customCode = "Own"
    builder.tensors[1].type = schema.TensorType.INT4
    graph = tflite.load(builder.write(tmp_path / "net.tflite"))
    assert (graph.operators[0].name, graph.tensors[1].dtype) == ("CUSTOM:Own", "int4")
