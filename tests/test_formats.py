import onnx
import pytest
from small_files import INPUT_SCALE, INPUT_ZERO, OUTPUT_SCALE, OUTPUT_ZERO, dense_onnx, dense_tflite

from targets import formats
from targets.errors import UserError


def test_files_are_recognised_by_what_is_in_them(tmp_path):
    assert formats.read(dense_tflite(tmp_path / "misnamed.onnx")).format == "tflite"
    assert formats.read(dense_onnx(tmp_path / "misnamed.tflite")).format == "onnx"


def test_a_float_onnx_file_with_a_free_batch_axis_is_read_for_one_sample(tmp_path):
    path = dense_onnx(tmp_path / "m.onnx")
    artifact = formats.read(path)
    (taken,), (given) = artifact.inputs, artifact.outputs
    assert (taken.name, taken.shape, taken.dtype, taken.scale) == ("x", (1, 6), "float32", None)
    assert [(tensor.name, tensor.shape, tensor.dtype) for tensor in given] == [("y", (1, 4), "float32")]
    assert artifact.bytes == path.stat().st_size
    assert not artifact.quantized


def test_a_qdq_onnx_file_with_float_ends_takes_and_gives_float(tmp_path):
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx", quantized=True))
    assert [(tensor.dtype, tensor.scale, tensor.zero_point) for tensor in artifact.inputs + artifact.outputs] == [
        ("float32", None, None)
    ] * 2


def test_integer_ends_of_an_onnx_file_have_their_scale_and_zero_point(tmp_path):
    artifact = formats.read(dense_onnx(tmp_path / "m.onnx", quantized=True, integer_ends=True))
    ends = [(tensor.dtype, tensor.scale, tensor.zero_point) for tensor in artifact.inputs + artifact.outputs]
    assert ends == [("int8", INPUT_SCALE, INPUT_ZERO), ("int8", OUTPUT_SCALE, OUTPUT_ZERO)]
    assert artifact.quantized


def test_the_noted_permutation_is_that_of_the_tensor(tmp_path):
    path = dense_onnx(tmp_path / "m.onnx", metadata={"edgepress.permutation": '{"x": [0, 2, 3, 1]}'})
    assert formats.read(path).inputs[0].permutation == (0, 2, 3, 1)
    assert formats.read(path).outputs[0].permutation is None


def test_weights_beside_the_file_count_and_must_be_there(tmp_path):
    path = dense_onnx(tmp_path / "m.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    before = formats.read(path)
    assert before.bytes == path.stat().st_size + (tmp_path / "m.onnx.data").stat().st_size
    assert before.details["external_files"] == ["m.onnx.data"]
    weights = bytearray((tmp_path / "m.onnx.data").read_bytes())
    weights[0] ^= 1
    (tmp_path / "m.onnx.data").write_bytes(weights)
    assert formats.read(path).sha256 != before.sha256
    (tmp_path / "m.onnx.data").unlink()
    with pytest.raises(UserError, match=r"m\.onnx: its weights are in m\.onnx\.data, which is not beside it"):
        formats.read(path)


def test_an_axis_that_is_not_fixed_is_named(tmp_path):
    model = onnx.load(dense_onnx(tmp_path / "m.onnx"))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "length"
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(UserError, match=r"m\.onnx: 'x' has a shape that is not fixed"):
        formats.read(tmp_path / "m.onnx")


def test_an_output_without_a_shape_gets_the_one_that_follows(tmp_path):
    model = onnx.load(dense_onnx(tmp_path / "m.onnx"))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "m.onnx")
    assert formats.read(tmp_path / "m.onnx").outputs[0].shape == (1, 4)


@pytest.mark.parametrize("content", [b"", b"not a network at all", bytes(64), b"PK\x03\x04" + bytes(range(60))])
def test_any_other_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"m\.onnx: not a \.tflite or \.onnx file") as refusal:
        formats.read(tmp_path / "m.onnx")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("length", [40, 200, -3])
def test_a_cut_off_onnx_file_is_refused(tmp_path, length):
    path = dense_onnx(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match="damaged"):
        formats.read(path)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        formats.read(tmp_path / "missing.tflite")
    with pytest.raises(UserError, match=r"no model\.json"):
        formats.read(tmp_path)
