"""What an NHWC file tells about itself."""

from collections.abc import Sequence
from dataclasses import replace

from compress.model import Model
from compress.unlifted import network
from targets.base import Artifact, Tensor

CHANNELS_LAST = (0, 2, 3, 1)
"""The order of axes that takes NCHW to NHWC."""
CHANNELS_FIRST = (0, 3, 1, 2)
"""And back."""


def paddings(amounts: Sequence[int], rank: int, channels_last: bool) -> list[tuple[int, int]]:
    """What torch's padding (pairs from the last axis of NCHW on) adds before and after each axis, as the axes lie."""
    given = [(amounts[place], amounts[place + 1]) for place in range(len(amounts) - 2, -1, -2)]
    by_axis = [(0, 0)] * (rank - len(given)) + given
    return [by_axis[axis] for axis in CHANNELS_LAST] if channels_last else by_axis


def arranged(artifact: Artifact, model: Model | None = None) -> Artifact:
    """The artifact of an NHWC file, with the order of axes that takes the network's NCHW to it; a `model` may be a file of another."""
    if model is not None and network.held(model) is not None and not network.channels_last(model):
        return artifact
    return replace(artifact, inputs=tuple(map(_arrange, artifact.inputs)), outputs=tuple(map(_arrange, artifact.outputs)))


def _arrange(tensor: Tensor) -> Tensor:
    return replace(tensor, permutation=CHANNELS_LAST) if len(tensor.shape) == 4 else tensor
