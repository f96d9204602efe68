"""Code that layers share: as small as promised, and counted for the layer that runs it."""

import dataclasses

import numpy as np
import pytest
from conftest import DATA
from tflite_files import Builder, random_samples, reference

from targets import boards, formats
from targets.base import RunOptions
from targets.microcontroller import Microcontroller, cores, firmware
from targets.microcontroller.compiled import as_c
from targets.microcontroller.sources import Sources

RANDOM = np.random.default_rng(0)
GOAL = 12 * 1024
MEMORY = 8 << 20


def alike(layers, folder, channels=8):
    """Convolutions that differ in their weights and zero points only."""
    builder = Builder()
    tensor = builder.input((1, 6, 6, channels), 0.05, 3)
    for number in range(layers):
        weights = builder.constant(RANDOM.integers(-127, 128, (channels, 3, 3, channels)), "int8", scale=0.01)
        bias = builder.constant(RANDOM.integers(-3000, 3000, channels), scale=0.0005)
        output = builder.tensor((1, 6, 6, channels), "int8", 0.05, number - 3)
        options = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
        builder.operator("CONV_2D", [tensor, weights, bias], [output], "Conv2DOptions", **options)
        tensor = output
    return formats.read(builder.write(folder / f"{layers}.tflite"))


def code_bytes(artifact, core):
    built = firmware.build(Sources.of(as_c(artifact)), cores.load(core), MEMORY, MEMORY)
    return len(built.code)


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m0plus"])
def test_a_layer_more_of_the_same_kind_takes_a_call_more(core, tmp_path):
    two, six = (code_bytes(alike(layers, tmp_path), core) for layers in (2, 6))
    assert (six - two) / 4 < 100


def test_shared_code_counts_for_the_layer_that_runs_it(tmp_path):
    artifact = alike(4, tmp_path)
    (sample,) = random_samples(artifact.path, 1)
    for core in ("cortex-m4", "cortex-m0plus"):
        found = Microcontroller(dataclasses.replace(boards.load("nucleo-l4r5zi"), core=core)).run(artifact, [sample], RunOptions())
        np.testing.assert_array_equal(found.outputs[0], reference(artifact.path, [sample])[0][0])
        *layers, runtime = [layer.instructions for layer in found.layers]
        assert max(layers) < 1.05 * min(layers)
        assert runtime < 0.02 * sum(layers)
        assert sum(layers) + runtime == found.instructions


@pytest.mark.data
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "rv32imc"])
def test_networks_that_others_made_stay_below_the_goal(core):
    paths = [DATA / "mlperf_tiny" / f"{name}.tflite" for name in ("kws_ref_model", "pretrainedResnet_quant", "vww_96_int8")]
    if not all(path.exists() for path in paths):
        pytest.skip(f"{paths[0].parent} is missing")
    sizes = {path.stem: code_bytes(formats.read(path), core) for path in paths}
    assert max(sizes.values()) <= GOAL, sizes
