"""Each operator of a .tflite file in a file of its own: one after the other they compute what the whole does."""

import numpy as np
import pytest
from compiler_networks import convolution
from tflite_files import Builder, reference

from targets import boards, formats
from targets.base import RunOptions
from targets.formats import tflite, tflite_parts

RANDOM = np.random.default_rng(0)


def residual():
    """A convolution, a sum with it twice over, and a softmax that two outputs are made of."""
    builder = convolution((9, 7, 4), channels=4)
    made = builder.operators[-1].outputs[0]
    shape = tuple(builder.tensors[made].shape)
    total = builder.tensor(shape, "int8", 0.3, 1, name="total")
    builder.operator("ADD", [made, made], [total], "AddOptions", fusedActivationFunction=0)
    axes = builder.constant([1, 2])
    mean = builder.tensor((1, 1, 1, 4), "int8", 0.3, 1, name="mean")
    builder.operator("MEAN", [total, axes], [mean], "ReducerOptions", keepDims=True)
    scaled = builder.tensor(shape, "int8", 0.4, 1, name="scaled")
    builder.operator("MUL", [total, mean], [scaled], "MulOptions", fusedActivationFunction=0)
    return builder


def test_run_one_after_the_other_they_give_the_outputs_of_the_whole(tmp_path):
    path = residual().write(tmp_path / "whole.tflite")
    artifact = formats.read(path)
    sample = [RANDOM.integers(-128, 128, tensor.shape).astype(np.int8) for tensor in artifact.inputs]
    known = dict(zip((tensor.name for tensor in artifact.inputs), sample, strict=True))
    nothing, *parts = tflite_parts.split(path)
    assert nothing.name == "runtime"
    assert [part.operator for part in parts] == ["CONV_2D", "ADD", "MEAN", "MUL"]
    for number, part in enumerate(parts):
        file = tmp_path / f"{number}.tflite"
        file.write_bytes(part.content)
        alone = formats.read(file)
        assert len(tflite.load(file).operators) == 1
        (outputs,) = reference(file, [[known[tensor.name] for tensor in alone.inputs]])
        known |= zip((tensor.name for tensor in alone.outputs), outputs, strict=True)
    (whole,) = reference(path, [sample])
    np.testing.assert_array_equal(known[artifact.outputs[0].name], whole[0])


def test_the_one_that_does_nothing_gives_its_number_back(tmp_path):
    first = next(tflite_parts.split(residual().write(tmp_path / "whole.tflite")))
    (tmp_path / "nothing.tflite").write_bytes(first.content)
    ((answer,),) = reference(tmp_path / "nothing.tflite", [[np.float32([3.5])]])
    np.testing.assert_array_equal(answer, [3.5])


def test_indices_that_are_computed_keep_operators_together(tmp_path):
    """Any number will not do for an index, so such a file's operators are listed without times."""
    builder = Builder()
    given = builder.input((1, 8))
    largest = builder.tensor((1,), "int32", name="largest")
    builder.operator("ARG_MAX", [given, builder.constant([1])], [largest], "ArgMaxOptions", outputType=2)
    table = builder.constant(RANDOM.integers(-127, 128, (8, 3)), "int8", scale=0.1)
    builder.operator("GATHER", [table, largest], [builder.tensor((1, 3), "int8", 0.1)], "GatherOptions")
    artifact = formats.read(builder.write(tmp_path / "indices.tflite"))
    assert list(tflite_parts.split(artifact.path)) == []
    found = boards.target("host").run(artifact, [(np.zeros((1, 8), np.int8),)], RunOptions(warmup=0, repetitions=1))
    assert [(layer.operator, layer.latency_ms) for layer in found.layers] == [("ARG_MAX", None), ("GATHER", None)]


@pytest.mark.parametrize("board", ["raspberry-pi-4", "raspberry-pi-5"])
def test_counted_one_by_one_they_add_up_to_the_whole(tmp_path, board):
    target = boards.target(board)
    if target.available():
        pytest.skip(str(target.available()))
    artifact = formats.read(convolution((48, 48, 16), channels=32).write(tmp_path / "whole.tflite"))
    sample = [RANDOM.integers(-128, 128, tensor.shape).astype(np.int8) for tensor in artifact.inputs]
    found = target.run(artifact, [tuple(sample)], RunOptions())
    assert sum(layer.instructions for layer in found.layers) == pytest.approx(found.instructions, rel=0.01)
