"""Operators that no integer kernel computes whole, made of ones that have one, before a network is quantized."""

from collections.abc import Sequence

import torch
from torch import fx

from compress.lowering.decompositions import arithmetic, attention, convolution, normalization, pooling, recurrent
from compress.lowering.rewriting import Rewrite, rewrite
from compress.model import refresh


def decompose(graph: fx.GraphModule, example: Sequence[torch.Tensor]) -> None:
    """Rewrites every node that has a row in one of STAGES, in place; `example` holds the network's inputs, which give new nodes' shapes."""
    for table in STAGES:
        rewrite(graph, table)
        refresh(graph, example)


STAGES: tuple[dict[str, Rewrite], ...] = (
    dict.fromkeys(convolution.OF_IMAGES, convolution.one_axis)
    | dict.fromkeys((*convolution.FOLLOWING, "add", "sub", "mul", "cat", "mean", "sum"), convolution.follow),
    {
        "div": arithmetic.division,
        "reciprocal": arithmetic.reciprocal,
        "conv_transpose2d": convolution.transposed,
        "avg_pool2d": pooling.average,
        **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_max_pool2d"), pooling.adaptive),
        "layer_norm": normalization.layer_norm,
        "scaled_dot_product_attention": attention.attention,
        "lstm": recurrent.lstm,
        "gru": recurrent.gru,
    },
)
"""By operator. Layers of one axis come first: they become those of images."""
