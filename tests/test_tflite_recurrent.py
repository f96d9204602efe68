"""A fused LSTM of a TFLite file gives what LiteRT gives, and is a network like any other."""

import numpy as np
import pytest
import torch
from quantized_networks import run_file
from tflite_files import Builder, reference

import compress.sources
from compress.exporters.tflite import Tflite
from compress.passes.fold_batchnorm import FoldBatchnorm
from compress.pipeline import apply_one
from compress.sources.base import SourceOptions
from targets import boards
from targets.base import RunOptions
from targets.errors import UserError

STEPS, GIVEN, HIDDEN = 6, 5, 4


def file(path, *, time_major=False, clip=0.0):
    draw = np.random.default_rng(0)
    builder = Builder()
    given = builder.input((1, STEPS, GIVEN), None, 0, "float32")
    turn = builder.constant([1, 0, 2])

    def turned(index, shape):
        made = builder.tensor(shape, "float32")
        builder.operator("TRANSPOSE", [index, turn], [made], "TransposeOptions")
        return made

    if time_major:
        given = turned(given, (STEPS, 1, GIVEN))

    def constants(*sizes):
        return [builder.constant(0.5 * draw.standard_normal(sizes), "float32") for _ in range(4)]

    states = [builder.tensor((1, HIDDEN), "float32") for _ in range(2)]
    for index in states:
        builder.tensors[index].isVariable = True
    weights, recurrence, bias = constants(HIDDEN, GIVEN), constants(HIDDEN, HIDDEN), constants(HIDDEN)
    inputs = [given, *weights, *recurrence, *[-1] * 3, *bias, -1, -1, *states, *[-1] * 4]
    made = builder.tensor((STEPS, 1, HIDDEN) if time_major else (1, STEPS, HIDDEN), "float32")
    options = {"fusedActivationFunction": 4, "timeMajor": time_major, "cellClip": clip}
    builder.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [made], "UnidirectionalSequenceLSTMOptions", **options)
    if time_major:
        made = turned(made, (1, STEPS, HIDDEN))
    head = builder.tensor((1, STEPS, 3), "float32")
    weight, vector = builder.constant(draw.standard_normal((3, HIDDEN)), "float32"), builder.constant(np.zeros(3), "float32")
    builder.operator("FULLY_CONNECTED", [made, weight, vector], [head], "FullyConnectedOptions", keepNumDims=True)
    return builder.write(path)


def samples(count):
    return np.random.default_rng(1).standard_normal((count, STEPS, GIVEN)).astype(np.float32)


@pytest.mark.parametrize("time_major", [False, True])
def test_an_lstm_is_lifted_and_exported(time_major, tmp_path):
    path = file(tmp_path / "lstm.tflite", time_major=time_major)
    given = samples(3)
    expected = np.concatenate([reference(path, [[each[None]]])[0][0] for each in given])
    model = compress.sources.load(SourceOptions("lstm.tflite", folder=tmp_path), (given,))
    assert model.free_batch
    np.testing.assert_allclose(model(torch.from_numpy(given)).numpy(), expected, rtol=1e-5, atol=1e-5)
    again = Tflite()(model, tmp_path)
    np.testing.assert_allclose(run_file(again, given).reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)


def test_what_torch_s_lstm_has_not_stays_a_file_that_begins_each_sample_anew(tmp_path):
    path = file(tmp_path / "lstm.tflite", clip=1.0)
    given = samples(3)
    model = compress.sources.load(SourceOptions("lstm.tflite", folder=tmp_path), (given,))
    expected = np.concatenate([reference(path, [[each[None]]])[0][0] for each in given])
    np.testing.assert_allclose(model(torch.from_numpy(given)).numpy(), expected, rtol=1e-5, atol=1e-5)
    ran = boards.target("host").run(Tflite()(model, tmp_path), [(given,)], RunOptions(0, 1, layers=False, energy=False))
    np.testing.assert_allclose(ran.outputs[0], expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match=r"fold_batchnorm: needs a graph of torch's operators, .*clipped gates"):
        apply_one("fold_batchnorm", FoldBatchnorm(), model, None)
