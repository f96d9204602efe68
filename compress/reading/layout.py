"""How a file's inputs are laid out beside the data's."""

import torch

CHANNELS_LAST = (0, 2, 3, 1)
Shape = tuple[int, ...]


def fits(given: Shape, wanted: Shape) -> bool:
    """Whether samples [N, …] can be laid out as the file wants them: as they are, NHWC, or with axes of length 1 put in or left out."""
    last = tuple(given[axis] for axis in CHANNELS_LAST) if len(given) == 4 else given
    return wanted[1:] in (given[1:], last[1:]) or _sizes(given) == _sizes(wanted)


def arrange(values: torch.Tensor, wanted: Shape) -> torch.Tensor:
    """Samples as data have them to a file's shape, which they fit."""
    if tuple(values.shape[1:]) == wanted[1:]:
        return values
    if _sizes(tuple(values.shape)) != _sizes(wanted):
        return values.permute(CHANNELS_LAST)
    return values.reshape(values.shape[0], *wanted[1:])


def _sizes(shape: Shape) -> list[int]:
    return [size for size in shape[1:] if size > 1]
