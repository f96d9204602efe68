"""Weights become integers whose errors cancel."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from compress.quantization.rounding import balanced, nearest

LIMIT = 7
SCALE = 0.25
shapes = st.sampled_from([(3, 2, 3, 3), (4, 1, 3, 3), (2, 5, 3), (3, 9), (1, 1)])
weights = shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=st.floats(-SCALE * LIMIT, SCALE * LIMIT, width=32)))
inside = shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=st.floats(-SCALE * (LIMIT - 2), SCALE * (LIMIT - 2), width=32)))


def scales(values, axis=0):
    return torch.full((values.shape[axis],), SCALE)


@given(weights)
def test_a_weight_goes_up_or_down_and_stays_in_range(values):
    integers = balanced(torch.from_numpy(values), scales(values), 0, LIMIT)
    assert (integers.dtype, integers.shape) == (torch.int8, values.shape)
    assert integers.abs().max() <= LIMIT
    assert np.abs(integers.numpy() - values / SCALE).max() <= 1 + 1e-5


@given(inside)
def test_errors_of_a_channel_cancel(values):
    integers = balanced(torch.from_numpy(values), scales(values), 0, LIMIT).numpy()
    errors = (integers - values.astype(np.float64) / SCALE).reshape(len(values), -1)
    assert np.abs(errors.sum(1)).max() <= 0.5 + 1e-4
    assert np.abs(errors.sum(1)).sum() <= np.abs((np.rint(values / SCALE) - values / SCALE).reshape(len(values), -1).sum(1)).sum() + 1e-4


@given(inside)
def test_errors_of_a_kernel_stay_below_one_step(values):
    integers = balanced(torch.from_numpy(values), scales(values), 0, LIMIT).numpy()
    kernels = values.reshape(*values.shape[:2], -1)
    assert np.abs((integers.reshape(kernels.shape) - kernels / SCALE).sum(2)).max() <= 1 + 1e-4


@given(arrays(np.int8, (3, 2, 3, 3), elements=st.integers(-LIMIT, LIMIT)), st.sampled_from([0, 1]))
def test_what_is_on_the_grid_stays(integers, axis):
    values = torch.from_numpy(integers) * SCALE
    for rounding in (balanced, nearest):
        assert torch.equal(rounding(values, scales(values, axis), axis, LIMIT), torch.from_numpy(integers))


def test_the_channels_of_a_transposed_convolution_are_those_of_its_mirror_image():
    values = torch.randn(4, 3, 3, 3, generator=torch.manual_seed(0))
    mirrored = balanced(values.transpose(0, 1).contiguous(), torch.full((3,), 0.1), 0, 127)
    assert torch.equal(balanced(values, torch.full((3,), 0.1), 1, 127), mirrored.transpose(0, 1))
