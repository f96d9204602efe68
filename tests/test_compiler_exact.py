"""The generated C against LiteRT's reference kernels, byte for byte."""

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import OpResolverType
from compiler_networks import convolution, convolutions, reduction, softmax, unary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from operator_networks import everywhere, quotients
from tflite_files import assert_exact, compiled, random_samples, reference

from targets.microcontroller.compiler import supported

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
MLPERF_TINY = ("kws_ref_model", "pretrainedResnet_quant", "vww_96_int8", "str_ww_ref_model")


WITHOUT_REFERENCE = ("SUM", "ELU")
"""Operators that LiteRT has no reference kernel of, or a wrong one; they have tests of their own."""


def written(networks, folder):
    return {label: builder.write(folder / f"{number}.tflite") for number, (label, builder) in enumerate(networks)}


def test_every_operator(tmp_path):
    networks = list(everywhere())
    assert_exact(written(networks, tmp_path), tmp_path)


def test_sums(tmp_path):
    """LiteRT 2.3's reference kernel of SUM is wrong by up to 129 steps; its optimized one is right, but rounds ties another way."""
    builder = reduction("SUM", (1, 4, 5, 6), [2], scales=((0.05, 3), (0.2, 1)))
    path = builder.write(tmp_path / "sum.tflite")
    samples = random_samples(path, 5)
    (network,) = compiled([path], tmp_path)
    wanted = reference(path, samples, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    for want, have in zip(wanted, network.run(samples), strict=True):
        assert np.abs(have[0].astype(int) - want[0]).max() <= 1


def test_divisions(tmp_path):
    """LiteRT refuses divisors of 0, and its kernel shifts small dividends by more bits than they have: here are large ones."""
    files = written(quotients(), tmp_path)
    for path, network in zip(files.values(), compiled(list(files.values()), tmp_path), strict=True):
        points = [tensor.zero_point for tensor in network.artifact.inputs]
        samples = [
            [
                np.where(np.abs(values - np.int16(point)) < 32, np.int8(point + 32), values)
                for values, point in zip(sample, points, strict=True)
            ]
            for sample in random_samples(path, 5)
        ]
        for want, have in zip(reference(path, samples), network.run(samples), strict=True):
            np.testing.assert_array_equal(have[0], want[0], err_msg=path.stem)


def test_a_division_by_zero_goes_to_the_limit(tmp_path):
    (_, builder), *_ = quotients()
    (network,) = compiled([builder.write(tmp_path / "div.tflite")], tmp_path)
    dividends, divisors = (np.full((1, 5, 6), tensor.zero_point, np.int8) for tensor in network.artifact.inputs)
    dividends.ravel()[:2] = 90, -90
    assert network.run([[dividends, divisors]])[0][0].ravel()[:3].tolist() == [127, -128, network.artifact.outputs[0].zero_point]


def test_exponentials_beyond_every_float_are_saturated(tmp_path):
    """LiteRT's reference kernel converts what is beyond an int32, which C++ leaves undefined."""
    path = unary("EXP", output=(0.01, -128), source=(1.0, -128)).write(tmp_path / "exp.tflite")
    (network,) = compiled([path], tmp_path)
    sample = np.linspace(-128, 127, 256).astype(np.int8).reshape(1, 4, 8, 8)
    made = network.run([[sample]])[0][0].ravel()
    assert made[0] == -28
    assert set(made[1:]) == {127}


def test_softmax_of_hundreds_of_numbers_alike(tmp_path):
    """Each is below half a step of 1/256; LiteRT's reference kernel ends the process."""
    path = softmax((1, 1000)).write(tmp_path / "softmax.tflite")
    (network,) = compiled([path], tmp_path)
    assert set(network.run([[np.full((1, 1000), 7, np.int8)]])[0][0].ravel()) == {-128}


def test_exponential_linear_units(tmp_path):
    """LiteRT has one kernel for it, which isn't among the reference ones."""
    path = unary("ELU").write(tmp_path / "elu.tflite")
    samples = random_samples(path, 3)
    (network,) = compiled([path], tmp_path)
    wanted = reference(path, samples, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    for want, have in zip(wanted, network.run(samples), strict=True):
        np.testing.assert_array_equal(have[0], want[0])


def test_the_networks_above_visit_every_operator_that_is_supported():
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    names = {code: name for name, code in vars(BuiltinOperator).items() if isinstance(code, int)}
    visited = {names[code.builtinCode] for _, builder in (*everywhere(), *convolutions(), *quotients()) for code in builder.codes}
    assert visited | set(WITHOUT_REFERENCE) == set(supported())


def test_convolutions(tmp_path):
    assert_exact(written(convolutions(), tmp_path), tmp_path)


@st.composite
def random_convolutions(draw):
    small = st.integers(1, 4)
    padding = draw(st.integers(0, 1))
    kernel, dilation = (draw(small), draw(small)), (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    least = [(taps - 1) * step + 1 if padding else 1 for taps, step in zip(kernel, dilation, strict=True)]
    shape = (least[0] + draw(st.integers(0, 6)), least[1] + draw(st.integers(0, 6)), draw(st.integers(1, 9)))
    return convolution(
        shape=shape,
        channels=draw(small),
        kernel=kernel,
        stride=(draw(small), draw(small)),
        dilation=dilation,
        padding=padding,
        activation=draw(st.sampled_from([0, 1, 3])),
        zero_points=(draw(st.integers(-128, 127)), draw(st.integers(-128, 127))),
        depthwise=draw(st.booleans()),
        per_channel=draw(st.booleans()),
        scale=draw(st.sampled_from([0.0001, 0.005, 0.3])),
    )


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(random_convolutions(), min_size=12, max_size=12))
def test_convolutions_of_any_shape(tmp_path_factory, networks):
    folder = tmp_path_factory.mktemp("random")
    assert_exact(written([(str(number), network) for number, network in enumerate(networks)], folder), folder, count=2)


@pytest.mark.data
def test_the_networks_of_mlperf_tiny(tmp_path):
    if not DATA.exists():
        pytest.skip(f"no trained networks in {DATA}")
    paths = [DATA / "mlperf_tiny" / f"{name}.tflite" for name in MLPERF_TINY]
    limits = dict(zip(MLPERF_TINY, (16_000, 49_152, 55_296, 8_000), strict=True))
    for path, network in zip(paths, compiled(paths, tmp_path), strict=True):
        samples = random_samples(path, 10)
        for want, have in zip(reference(path, samples), network.run(samples), strict=True):
            np.testing.assert_array_equal(have[0], want[0], err_msg=path.stem)
        assert network.artifact.details["arena_bytes"] <= limits[path.stem], path.stem
