"""Which weights may be zero together: any, so many of each M input channels, or blocks of output by input channels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from targets.errors import UserError


@dataclass(frozen=True)
class Pattern:
    """Of each `of` neighbouring input channels `left` weights stay (`of` 0: any number), in blocks of `rows` outputs x `columns` inputs.

    Input channels are the axis along which kernels of sparse matrices gather (TFLite's weights have it last), the places of a kernel
    are apart from each other.
    """

    left: int = 0
    of: int = 0
    rows: int = 1
    columns: int = 1

    @property
    def share(self) -> float | None:
        """The share of zeros that the pattern fixes."""
        return 1 - self.left / self.of if self.of else None

    def misfit(self, outputs: int, inputs: int) -> str | None:
        """Why a layer with so many channels in a group can't have the pattern."""
        if inputs % (self.of or self.columns):
            return f"{inputs} input channels are no multiple of {self.of or self.columns}"
        if outputs % self.rows:
            return f"{outputs} output channels are no multiple of {self.rows}"
        return None

    def masks(self, scores: Sequence[torch.Tensor], share: float) -> list[torch.Tensor]:
        """Which weights stay, bool, of scores [groups, outputs, places, inputs]: those of lowest score go, whole blocks by their mean.

        All tensors compete with each other, but for the weights of N:M, of which each group loses its own.
        """
        if self.of:
            return [self._of_each(each, share) for each in scores]
        blocks = [self._blocks(each) for each in scores]
        flat = torch.cat([each.flatten() for each in blocks])
        stays = torch.ones(len(flat), dtype=torch.bool)
        stays[torch.topk(flat, round(len(flat) * share), largest=False).indices] = False
        pairs = zip(torch.split(stays, [each.numel() for each in blocks]), blocks, strict=True)
        return [part.view(each.shape).repeat_interleave(self.rows, 1).repeat_interleave(self.columns, 3) for part, each in pairs]

    def _blocks(self, scores: torch.Tensor) -> torch.Tensor:
        groups, outputs, places, inputs = scores.shape
        return scores.reshape(groups, outputs // self.rows, self.rows, places, inputs // self.columns, self.columns).mean((2, 5))

    def _of_each(self, scores: torch.Tensor, share: float) -> torch.Tensor:
        ranks = scores.reshape(*scores.shape[:3], -1, self.of).argsort(-1).argsort(-1)
        stays: torch.Tensor = ranks >= round(share * self.of)
        return stays.reshape(scores.shape)


def quoted(written: Any) -> Any:
    """What a recipe says; UserError for a number, which YAML makes of 2:4 without quotes."""
    if isinstance(written, int):
        raise UserError(f"pattern must stand in quotes, as in '{written // 60}:{written % 60}'; YAML read it as the number {written}")
    return written


def parse(text: str) -> Pattern:
    """The pattern of a recipe's word. UserError where there is no such one.

    >>> parse("2:4")
    Pattern(left=2, of=4, rows=1, columns=1)
    >>> parse("1x16").columns
    16
    """
    if text == "unstructured":
        return Pattern()
    found = re.fullmatch(r"(\d{1,4})([:x])(\d{1,4})", text)
    first, second = (int(found[1]), int(found[3])) if found else (0, 0)
    if found and found[2] == ":" and 0 < first < second:
        return Pattern(left=first, of=second)
    if found and found[2] == "x" and first and second:
        return Pattern(rows=first, columns=second)
    possible = "unstructured, N:M with N below M such as '2:4' (quoted), or blocks of outputs x inputs such as 4x1 and 1x16"
    raise UserError(f"pattern '{text}' is not known; it is one of: {possible}")
