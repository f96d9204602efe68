import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from compress.data.base import Split
from compress.evaluation import evaluate
from compress.metrics import Metric
from compress.model import capture
from compress.parity import check, compare
from targets.errors import ExportError

outputs = arrays(np.float32, (4, 3), elements=st.floats(-1000, 1000, width=32))


@given(outputs)
def test_equal_outputs_do_not_differ(values):
    difference = compare(values, values, step=0.5)
    assert (difference.relative_error, difference.agreement, difference.largest, difference.largest_steps) == (0.0, 1.0, 0.0, 0.0)


@given(outputs, outputs, st.sampled_from([2.0, 4.0, 8.0]))
def test_the_relative_error_does_not_know_the_unit(reference, other, unit):
    # powers of two above one: scaling is exact, the smallest numbers included
    assert compare(reference * unit, other * unit).relative_error == compare(reference, other).relative_error


def test_the_difference_of_two_known_arrays():
    difference = compare(np.array([[3.0, 4.0], [0.0, 5.0]]), np.array([[3.0, 4.0], [6.0, 5.0]]), step=0.5)
    assert difference.relative_error == pytest.approx(math.sqrt(36 / 50))
    assert difference.agreement == 0.5
    assert (difference.largest, difference.largest_steps, difference.worst_sample) == (6.0, 12.0, 1)


def test_a_value_that_is_not_finite_on_one_side_is_an_infinite_error():
    assert compare(np.array([[1.0, 2.0]]), np.array([[1.0, np.nan]])).relative_error == math.inf


def test_infinities_on_both_sides_agree():
    assert compare(np.array([[1.0, -np.inf]]), np.array([[1.0, -np.inf]])).largest == 0.0


def test_one_value_a_sample_has_no_top_1():
    assert compare(np.ones((3, 1)), np.ones((3, 1))).agreement is None


def test_shapes_that_differ_are_told():
    with pytest.raises(ExportError, match=r"\(3,\).*\(2,\)"):
        compare(np.ones((1, 2)), np.ones((1, 3)))


def test_a_float_file_may_differ_by_rounding_only():
    check(compare(np.ones((2, 3)), np.full((2, 3), 1.0001)), "m.tflite")
    with pytest.raises(ExportError, match=r"m\.tflite: the exported file differs from the network: relative error 0\.01"):
        check(compare(np.ones((2, 3)), np.full((2, 3), 1.01)), "m.tflite")


def test_a_file_that_rounds_activations_may_differ_by_more():
    check(compare(np.ones((2, 3)), np.full((2, 3), 1.01)), "m.tflite", rounds=True)
    with pytest.raises(ExportError, match=r"at most 0\.15"):
        check(compare(np.ones((2, 3)), np.full((2, 3), 1.2)), "m.tflite", rounds=True)


def test_an_integer_file_may_differ_by_two_steps_however_coarse_they_are():
    check(compare(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]]), step=0.5), "m.tflite")
    with pytest.raises(ExportError, match="worst at sample 0"):
        check(compare(np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]]), step=0.1), "m.tflite")


def test_predictions_stream_every_sample_in_order():
    samples = np.arange(10, dtype=np.float32).reshape(10, 1)
    split = Split(10, lambda numbers: ((samples[numbers],), numbers))
    model = capture(torch.nn.Hardtanh(0.0, 6.0), (torch.zeros(1, 1),))
    found = evaluate(model, split, Metric("first", lambda outputs, labels: outputs[:, 0] - labels), batch_size=4)
    np.testing.assert_array_equal(found.outputs, samples.clip(0, 6))
    np.testing.assert_array_equal(found.labels, np.arange(10))
    assert found.metric == -0.6
