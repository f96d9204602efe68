"""How a file's inputs are laid out beside the data's."""

import torch

CHANNELS_LAST = (0, 2, 3, 1)
Shape = tuple[int, ...]


def fits(given: Shape, wanted: Shape) -> bool:
    """Whether samples [N, …] can be laid out as the file wants them: as they are, NHWC, or with axes of length 1 put in or left out."""
    last = tuple(given[axis] for axis in CHANNELS_LAST) if len(given) == 4 else given
    return wanted[1:] in (given[1:], last[1:]) or _sizes(given) == _sizes(wanted)


def settled(given: Shape, wanted: tuple[int | None, ...]) -> Shape | None:
    """The shape that a file wants for one sample, axes that it leaves free (None) with the data's sizes; None where they can't have them.

    >>> settled((1, 3, 32, 32), (None, 3, None, None)), settled((1, 3, 32, 32), (None, None, None, 3))
    ((1, 3, 32, 32), (1, 32, 32, 3))
    """
    if None not in wanted[1:]:
        return (1, *(size or 1 for size in wanted[1:]))
    last = tuple(given[axis] for axis in CHANNELS_LAST) if len(given) == 4 else given
    for sizes in (given, last):
        if len(sizes) == len(wanted) and all(asked in (None, size) for asked, size in zip(wanted[1:], sizes[1:], strict=True)):
            return (1, *sizes[1:])
    return None


def arrange(values: torch.Tensor, wanted: Shape) -> torch.Tensor:
    """Samples as data have them to a file's shape, which they fit."""
    if tuple(values.shape[1:]) == wanted[1:]:
        return values
    if values.dim() == 4 and values.shape[1] > 1 and (last := values.permute(CHANNELS_LAST)).shape[1:] == wanted[1:]:
        return last
    return values.reshape(values.shape[0], *wanted[1:])


def _sizes(shape: Shape) -> list[int]:
    return [size for size in shape[1:] if size > 1]
