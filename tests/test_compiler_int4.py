"""int8 activations with weights of 4 bits: LiteRT's bytes, and packed in flash."""

import numpy as np
import pytest
from tflite_files import assert_exact
from typed_networks import convolution, convolutions, dense

from targets.errors import ExportError
from targets.microcontroller.compiler import compile_tflite


def test_convolutions(tmp_path):
    files = {label: builder.write(tmp_path / f"{number}.tflite") for number, (label, builder) in enumerate(convolutions("int8"))}
    assert_exact(files, tmp_path)


@pytest.mark.parametrize("depthwise", [False, True])
def test_the_lowest_weights(depthwise, tmp_path):
    builder = convolution("int8", shape=(6, 6, 5), channels=3, depthwise=depthwise, factor=20)
    stored = builder.buffers[builder.tensors[1].buffer]
    stored.data = np.full_like(stored.data, 0x88)
    assert_exact({"lowest": builder.write(tmp_path / "net.tflite")}, tmp_path)


@pytest.mark.parametrize(
    ("builder", "weights"),
    [
        (convolution("int8", shape=(4, 4, 8), channels=6), 6 * 9 * 8 // 2),
        (convolution("int8", shape=(4, 4, 8), channels=1, depthwise=True), 8 * 5),
        (dense("int8", inputs=33, outputs=6), 6 * 17),
    ],
    ids=["conv", "depthwise", "dense"],
)
def test_two_weights_share_a_byte_of_flash(builder, weights, tmp_path):
    artifact = compile_tflite(builder.write(tmp_path / "net.tflite"), tmp_path / "c")
    channels = len(builder.tensors[2].quantization.scale)
    others = channels * (4 + 8 + 1 if artifact.details["layers"][0]["operator"] == "FULLY_CONNECTED" else 4 + 4 + 1)
    assert artifact.details["layers"][0]["flash_bytes"] == weights + others


def test_weights_of_4_bits_go_with_int8_only(tmp_path):
    builder = dense("int8")
    for index in (0, 3):
        builder.tensors[index].type, builder.tensors[index].quantization.zeroPoint = 7, np.int64([0])
    with pytest.raises(ExportError, match=r"is int4, and this operator takes int8 here; \w+"):
        compile_tflite(builder.write(tmp_path / "net.tflite"), tmp_path / "c")
