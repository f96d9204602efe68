"""What an NHWC file tells about itself."""

from dataclasses import replace

from targets.base import Artifact, Tensor

CHANNELS_LAST = (0, 2, 3, 1)
"""The order of axes that takes NCHW to NHWC."""
CHANNELS_FIRST = (0, 3, 1, 2)
"""And back."""


def arranged(artifact: Artifact) -> Artifact:
    """The artifact of an NHWC file, with the order of axes that takes the network's NCHW to it."""
    return replace(artifact, inputs=tuple(map(_arrange, artifact.inputs)), outputs=tuple(map(_arrange, artifact.outputs)))


def _arrange(tensor: Tensor) -> Tensor:
    return replace(tensor, permutation=CHANNELS_LAST) if len(tensor.shape) == 4 else tensor
