"""Lifted resizing gives what LiteRT's own kernels give, however the file places its pixels; TensorFlow 1's ways among them."""

import numpy as np
import pytest
import torch
from tflite_files import Builder, reference

import compress.sources
from compress.sources.base import SourceOptions

SHAPE = (1, 4, 6, 3)
WAYS = {
    "from a corner": {},
    "by centres": {"halfPixelCenters": True},
    "corners on corners": {"alignCorners": True},
}


@pytest.mark.parametrize("size", [(8, 12), (7, 10), (3, 4)])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("operator", ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"])
def test_pixels_lie_where_litert_has_them(operator, way, size, tmp_path):
    options = {"RESIZE_BILINEAR": "ResizeBilinearOptions", "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions"}[operator]
    builder = Builder()
    given = builder.input(SHAPE, None, 0, "float32")
    made = builder.tensor((1, *size, 3), "float32")
    builder.operator(operator, [given, builder.constant(size)], [made], options, **WAYS[way])
    path = builder.write(tmp_path / "resize.tflite")
    image = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    ((expected,),) = reference(path, [[image]])
    first = np.ascontiguousarray(image.transpose(0, 3, 1, 2))
    model = compress.sources.load(SourceOptions("resize.tflite", folder=tmp_path), (first,))
    np.testing.assert_allclose(model(torch.from_numpy(first)).numpy(), expected.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-5)
