"""Integers of 4 bits, two a byte: the same as ONNX's own packing, and the way back."""

import numpy as np
import onnx
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from targets.formats import nibbles

integers = arrays(np.int8, array_shapes(max_dims=4, max_side=5), elements=st.integers(-8, 7))


@given(integers)
def test_what_is_packed_comes_back(values):
    packed = nibbles.pack(values)
    assert packed.dtype == np.uint8
    assert len(packed) == nibbles.packed_bytes(values.size)
    np.testing.assert_array_equal(nibbles.unpack(packed, values.shape), values)


@given(integers)
def test_onnx_packs_them_alike(values):
    theirs = onnx.helper.make_tensor("x", onnx.TensorProto.INT4, values.shape, values.flatten().tolist())
    assert nibbles.pack(values).tobytes() == (theirs.raw_data or bytes(theirs.int32_data))
