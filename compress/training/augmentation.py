"""Changes to batches that make the training data count for more; drawn anew in each epoch, the same for the same seed.

`flip` mirrors images left to right with a probability (0.5). `crop` shifts them by up to a share of their sides (0.125: 4 of 32
pixels), mirroring what comes in at the edges. `mixup` blends each sample with another (Zhang et al. 2018; the number is the paper's
alpha, 0.2), `cutmix` puts a rectangle of another image in (Yun et al. 2019; alpha, 1.0); of the two, a batch gets one.
"""

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from compress.training.entries import Entries, amounts
from compress.training.objective import Batch, Tensors
from targets.errors import UserError

USUAL = {"flip": 0.5, "crop": 0.125, "mixup": 0.2, "cutmix": 1.0}
MOVING = ("flip", "crop", "cutmix")
MIXING = ("mixup", "cutmix")


def parse(entries: Entries) -> dict[str, float]:
    """The number of each augmentation. UserError for those that can't be."""
    found = amounts(entries, USUAL, "augment")
    if found.get("flip", 0.0) > 1:
        raise UserError(f"augment: flip is a probability, at most 1, not {found['flip']}")
    if found.get("crop", 0.0) >= 1:
        raise UserError(f"augment: crop is a share of the image's sides, below 1, not {found['crop']}")
    return found


class Augmentation:
    """Augments one batch after another; `seed` decides every draw."""

    def __init__(self, entries: Entries, seed: int) -> None:
        self.amounts = parse(entries)
        self.random = np.random.default_rng(seed)

    def __call__(self, batch: Batch) -> Batch:
        """The batch augmented. UserError where pixels move that aren't there, or labels would have to move with them."""
        self._check(batch)
        if "flip" in self.amounts:
            batch = replace(batch, inputs=self._flip(batch.inputs))
        if "crop" in self.amounts:
            batch = replace(batch, inputs=self._crop(batch.inputs))
        mixing = [name for name in MIXING if name in self.amounts]
        if not mixing or len(batch.labels) < 2:
            return batch
        return self._mix(batch, mixing[int(self.random.integers(len(mixing)))])

    def _check(self, batch: Batch) -> None:
        moving = [name for name in MOVING if name in self.amounts]
        if moving and not any(_is_image(tensor) for tensor in batch.inputs):
            shapes = ", ".join(str(list(tensor.shape[1:])) for tensor in batch.inputs)
            raise UserError(f"augment: {moving[0]} is for images [channels, height, width]; the network takes {shapes}")
        if moving and batch.labels.ndim > 2:
            raise UserError(f"augment: {moving[0]} moves pixels, and labels of shape {list(batch.labels.shape[1:])} would not follow")

    def _flip(self, inputs: Tensors) -> Tensors:
        flipped = torch.from_numpy(self.random.random(len(inputs[0])) < self.amounts["flip"])
        chosen = flipped.to(inputs[0].device)[:, None, None, None]
        return tuple(torch.where(chosen, tensor.flip(3), tensor) if _is_image(tensor) else tensor for tensor in inputs)

    def _crop(self, inputs: Tensors) -> Tensors:
        """The same shift, in shares of the sides, for every image input of a sample."""
        shifts = self.random.uniform(-1, 1, (2, len(inputs[0]))) * self.amounts["crop"]
        return tuple(_shifted(tensor, shifts, self.amounts["crop"]) if _is_image(tensor) else tensor for tensor in inputs)

    def _mix(self, batch: Batch, name: str) -> Batch:
        share = float(self.random.beta(self.amounts[name], self.amounts[name]))
        order = torch.from_numpy(self.random.permutation(len(batch.labels))).to(batch.labels.device)
        if name == "mixup":
            inputs = tuple(share * tensor + (1 - share) * tensor[order] for tensor in batch.inputs)
        else:
            centre = self.random.random(2)
            pasted = [_pasted(tensor, tensor[order], centre, share) for tensor in batch.inputs]
            inputs, share = tuple(tensor for tensor, _ in pasted), min(kept for _, kept in pasted)
        others = batch.labels[order]
        if batch.labels.is_floating_point():
            return Batch(inputs, share * batch.labels + (1 - share) * others)
        return Batch(inputs, batch.labels, others, share)


def _is_image(tensor: torch.Tensor) -> bool:
    return tensor.ndim == 4 and min(tensor.shape[2:]) > 1


def _shifted(images: torch.Tensor, shifts: np.ndarray, share: float) -> torch.Tensor:
    """Images [N, C, H, W], each shifted by shares [2, N] of its height and width, mirrored at the edges."""
    height, width = images.shape[2:]
    margins = [min(size - 1, round(share * size)) for size in (height, width)]
    padded = F.pad(images, (margins[1], margins[1], margins[0], margins[0]), mode="reflect")
    starts = [
        torch.from_numpy(np.clip(np.rint(shifts[axis] * size), -margin, margin).astype(np.int64) + margin).to(images.device)
        for axis, (size, margin) in enumerate(zip((height, width), margins, strict=True))
    ]
    samples, channels = (torch.arange(size, device=images.device) for size in images.shape[:2])
    rows = starts[0][:, None] + torch.arange(height, device=images.device)
    columns = starts[1][:, None] + torch.arange(width, device=images.device)
    return padded[samples[:, None, None, None], channels[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def _pasted(images: torch.Tensor, others: torch.Tensor, centre: np.ndarray, share: float) -> tuple[torch.Tensor, float]:
    """Images with a rectangle of the others around a centre (shares of the sides), and the share of pixels that stayed."""
    if not _is_image(images):
        return images, 1.0
    height, width = images.shape[2:]
    sides = [size * (1 - share) ** 0.5 for size in (height, width)]
    edges = [
        [int(np.clip(round(place * size + half), 0, size)) for half in (-side / 2, side / 2)]
        for place, size, side in zip(centre, (height, width), sides, strict=True)
    ]
    made = images.clone()
    (top, bottom), (left, right) = edges
    made[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    return made, 1 - (bottom - top) * (right - left) / (height * width)
