"""int16 activations with weights of int8: the generated C against LiteRT's reference kernels, byte for byte."""

import numpy as np
import pytest
from tflite_files import assert_exact, compiled, random_samples, reference
from typed_networks import binary, converted, convolution, convolutions, dense, others, reduction, unary

from targets.errors import ExportError
from targets.microcontroller.compiler import compile_tflite


def written(networks, folder):
    return {label: builder.write(folder / f"{number}.tflite") for number, (label, builder) in enumerate(networks)}


def test_convolutions(tmp_path):
    assert_exact(written(convolutions("int16"), tmp_path), tmp_path)


def test_operators_without_weights(tmp_path):
    assert_exact(written(others("int16"), tmp_path), tmp_path)


def wide():
    """Sums, biases and scales that leave 32 bits or the short multiplication."""
    yield "bias of 32 bits", convolution("int16", bias="int32")
    yield "bias beyond 32 bits", convolution("int16", bias_factor=1 << 24, factor=1e6)
    yield "depthwise bias beyond 32 bits", convolution("int16", depthwise=True, bias_factor=1 << 24, factor=1e6)
    yield "sums beyond 32 bits", convolution("int16", shape=(2, 2, 700), kernel=(2, 2), channels=3, padding=1, factor=500)
    yield "large multiplier", convolution("int16", scale=3.0, factor=2)
    yield "tiny multiplier", convolution("int16", scale=1e-12, factor=1)
    yield "wide dense", dense("int16", inputs=3000, outputs=5, factor=300)
    yield "dense bias beyond 32 bits", dense("int16", bias_factor=1 << 24, factor=1e6)


def test_what_leaves_32_bits(tmp_path):
    assert_exact(written(wide(), tmp_path), tmp_path)


def between_types():
    int8, int16, wider, real = ("int8", 0.05, 3), ("int16", 0.0003), ("int16", 0.002), ("float32",)
    for source, made in ((int16, wider), (wider, int16), (int8, int16), (int16, int8), (wider, int8), (real, int16)):
        yield f"{source} to {made}", converted("QUANTIZE", source, made)
    yield "to float", converted("DEQUANTIZE", int16, real)


def test_between_types(tmp_path):
    assert_exact(written(between_types(), tmp_path), tmp_path)


def test_sums_over_axes(tmp_path):
    """LiteRT's reference kernel of SUM is wrong for integers; MEAN with the scale of a sum is the same computation."""
    made = written([("sum", reduction("int16", "SUM", [1], factor=4)), ("mean", reduction("int16", "MEAN", [1], factor=1))], tmp_path)
    total, mean = compiled(list(made.values()), tmp_path)
    for sample in random_samples(made["sum"], 3):
        difference = total.run([sample])[0][0].astype(int) - mean.run([sample])[0][0]
        assert np.abs(difference).max() <= 1


REFUSED = [
    (lambda: unary("int16", "LOGISTIC", source=0.01, made=0.01), "hasn't scale 1/32768"),
    (lambda: unary("int16", "HARD_SWISH", source=0.01, made=0.01), "is int16, and this operator takes int8 here"),
    (lambda: binary("int16", "DIV"), "is int16, and this operator takes int8 here"),
    (lambda: convolution("int16", bias="float32"), "its bias is float32"),
    (lambda: convolution("int16", bias_factor=1 << 36), "its sums may leave 48 bits"),
    (lambda: dense("int16", bias_factor=1 << 36), "its sums may leave 48 bits"),
]


@pytest.mark.parametrize(("network", "reason"), REFUSED)
def test_what_int16_has_no_kernel_for_is_refused(network, reason, tmp_path):
    path = network().write(tmp_path / "net.tflite")
    with pytest.raises(ExportError, match=rf"net\.tflite: layer .*{reason}.*; \w+"):
        compile_tflite(path, tmp_path / "c")


def test_zero_points_are_refused(tmp_path):
    builder = binary("int16", "ADD")
    builder.tensors[0].quantization.zeroPoint = np.int64([3])
    with pytest.raises(ExportError, match="has a zero point; quantize 16-bit tensors symmetrically"):
        compile_tflite(builder.write(tmp_path / "net.tflite"), tmp_path / "c")


def test_fully_connected_sums_beyond_every_output_are_saturated(tmp_path):
    """LiteRT's reference kernel makes an int32 of such a double, which C++ leaves undefined."""
    builder = dense("int16", bias_factor=1 << 30, scale=1e9, factor=1e-3)
    path = builder.write(tmp_path / "net.tflite")
    (network,) = compiled([path], tmp_path)
    bias = builder.buffers[-1].data.view(np.int64)
    made = network.run(random_samples(path, 1))[0][0]
    np.testing.assert_array_equal(made[0], np.where(bias > 0, 32767, -32768))


def test_powers_of_two(tmp_path):
    """Additions whose scales are all powers of two take a way of their own in LiteRT."""
    path = binary("int16", "ADD", factors=tuple(2.0**power / 0.0003 for power in (-12, -13, -12))).write(tmp_path / "net.tflite")
    samples = random_samples(path, 3)
    (network,) = compiled([path], tmp_path)
    for want, have in zip(reference(path, samples), network.run(samples), strict=True):
        np.testing.assert_array_equal(have[0], want[0])


@pytest.mark.parametrize("network", [convolution, dense])
def test_the_lowest_numbers(network, tmp_path):
    """512 products of the lowest input and the lowest weight are one more than 32 bits hold."""
    builder = dense("int16", inputs=1024, factor=3e4) if network is dense else convolution("int16", shape=(4, 4, 256), factor=3e4)
    stored = builder.buffers[builder.tensors[1].buffer]
    stored.data = np.full_like(stored.data, 0x80)
    path = builder.write(tmp_path / "net.tflite")
    samples = [[np.full(values.shape, -(2**15), np.int16) for values in sample] for sample in random_samples(path, 1)]
    (made,) = compiled([path], tmp_path)
    np.testing.assert_array_equal(made.run(samples)[0][0], reference(path, samples)[0][0])
