"""float32: the generated C against LiteRT's reference kernels. Sums are made in the same order; exponentials are our own."""

import numpy as np
import pytest
from tflite_files import compiled, random_samples, reference
from typed_networks import binary, convolutions, others, reduction, unary

from targets.errors import ExportError
from targets.microcontroller.compiler import compile_tflite

FUNCTIONS = ("LOGISTIC", "TANH", "EXP", "HARD_SWISH")


def assert_near(networks, folder):
    """Each network's numbers within 1e-5 of the reference's, relative to their size."""
    paths = {label: builder.write(folder / f"{number}.tflite") for number, (label, builder) in enumerate(networks)}
    for (label, path), network in zip(paths.items(), compiled(list(paths.values()), folder), strict=True):
        samples = random_samples(path, 3)
        for wanted, made in zip(reference(path, samples), network.run(samples), strict=True):
            assert wanted[0].dtype == made[0].dtype == np.float32, label
            np.testing.assert_allclose(made[0], wanted[0], rtol=1e-5, atol=1e-6, err_msg=label)


def test_convolutions(tmp_path):
    assert_near(convolutions("float32"), tmp_path)


def test_operators_without_weights(tmp_path):
    assert_near(others("float32"), tmp_path)


def further():
    for name in FUNCTIONS:
        yield name, unary("float32", name)
    yield "gelu", unary("float32", "GELU", "GeluOptions", approximate=True)
    for name in ("DIV", "SQUARED_DIFFERENCE", "PRELU"):
        yield name, binary("float32", name, (6,), constant=name != "SQUARED_DIFFERENCE")
    yield "sum", reduction("float32", "SUM", [2])


def test_functions_and_what_int16_lacks(tmp_path):
    assert_near(further(), tmp_path)


EDGES = np.float32([0, -0.0, 1e-30, -1e-8, 1e-4, -1e-4, 0.17, -0.18, 0.36, -0.52, 9.1, -9.1, 16.7, 60, -60, 88.5, -87.2, -104, 200, -3e38])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_over_their_whole_range(name, tmp_path):
    path = unary("float32", name, shape=(1, len(EDGES))).write(tmp_path / "net.tflite")
    edges = EDGES[EDGES <= 88.6] if name == "EXP" else EDGES
    sample = [np.pad(edges, (0, len(EDGES) - len(edges)))[None]]
    (network,) = compiled([path], tmp_path)
    np.testing.assert_allclose(network.run([sample])[0][0], reference(path, [sample])[0][0], rtol=1e-6, atol=2e-38)


def test_elu(tmp_path):
    """Not among LiteRT's reference kernels."""
    path = unary("float32", "ELU", shape=(1, len(EDGES))).write(tmp_path / "net.tflite")
    (network,) = compiled([path], tmp_path)
    wanted = np.where(EDGES < 0, np.expm1(EDGES.astype(np.float64)), EDGES)
    np.testing.assert_allclose(network.run([[EDGES[None]]])[0][0][0], wanted, rtol=1e-6)


def test_what_float32_has_no_kernel_for_is_refused(tmp_path):
    path = unary("float32", "GELU", "GeluOptions", approximate=False).write(tmp_path / "net.tflite")
    with pytest.raises(ExportError, match=r"layer .*\(GELU\): tensor .* is float32 and has not one scale; \w+"):
        compile_tflite(path, tmp_path / "c")
