"""Which samples train, calibrate and evaluate: a seeded, stratified division in which no sample stands twice."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.data.base import Data, Inputs, Split
from targets.errors import UserError

Rows = NDArray[np.int64]

CALIBRATION_SAMPLES = 200
"""Enough to observe ranges: more changes int8 accuracy by less than it varies between choices of samples."""


@dataclass(frozen=True)
class Division:
    """How many samples calibrate and evaluate, and the seed that chooses them.

    `calibration` None: 200, but at most half of what there is to train with. `evaluation` None: a fifth of a pool, or all
    of a part that is for evaluation anyway. UserError for a number that can't be.
    """

    calibration: int | None = None
    evaluation: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for key in ("calibration", "evaluation"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise UserError(f"{key}: at least 1 sample is needed, not {value}")
        if self.seed < 0:
            raise UserError(f"seed: a whole number of 0 or more is needed, not {self.seed}")

    def pool(self, labels: NDArray[Any]) -> tuple[Rows, Rows, Rows]:
        """Divides one pool into training, calibration and evaluation, each in a shuffled order whose beginning is stratified too."""
        order = stratified_order(labels, self.seed)
        evaluation = max(1, len(order) // 5) if self.evaluation is None else self.evaluation
        if evaluation >= len(order):
            raise UserError(f"evaluation: {evaluation} of {len(order)} samples leave none to train with; ask for fewer")
        calibration = self._calibration(len(order) - evaluation)
        cut = evaluation + calibration
        return order[cut:], order[evaluation:cut], order[:evaluation]

    def training(self, labels: NDArray[Any]) -> tuple[Rows, Rows]:
        """Divides training samples into training and calibration."""
        order = stratified_order(labels, self.seed)
        calibration = self._calibration(len(order))
        return order[calibration:], order[:calibration]

    def evaluation_rows(self, labels: NDArray[Any]) -> Rows:
        """As many samples of a part that is for evaluation as are asked for, or all of them."""
        return self._some(labels, self.evaluation, "evaluation")

    def calibration_rows(self, labels: NDArray[Any]) -> Rows:
        """As many samples of a part that is for calibration as are asked for, or all of them."""
        return self._some(labels, self.calibration, "calibration")

    def _some(self, labels: NDArray[Any], wanted: int | None, key: str) -> Rows:
        if wanted is not None and wanted > len(labels):
            raise UserError(f"{key}: {wanted} samples are asked for and there are {len(labels)}; ask for fewer")
        return stratified_order(labels, self.seed)[:wanted]

    def _calibration(self, available: int) -> int:
        wanted = self.calibration or max(1, min(CALIBRATION_SAMPLES, available // 2))
        if wanted >= available:
            raise UserError(f"calibration: {wanted} of {available} samples leave none to train with; ask for fewer, or add samples")
        return wanted


def stratified_order(labels: NDArray[Any], seed: int) -> Rows:
    """An order of all samples, shuffled by the seed, in which every beginning has the classes in their proportions.

    Labels int64 [N]; labels of another kind (regression) are only shuffled. Within a class, sample i of n stands at
    (i + 0.5) / n of the way, so a beginning of k samples holds k times the class's share, give or take one.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        return shuffled
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[shuffled] == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return shuffled[np.argsort(place, kind="stable")]


@dataclass(frozen=True)
class Part:
    """Samples that lie together: their labels, and how to load the inputs of some of them (float32 [N, …] each)."""

    labels: NDArray[Any]
    inputs: Callable[[Rows], Inputs]

    def split(self, rows: Rows) -> Split:
        """These rows as a part of the data."""
        return Split(len(rows), lambda samples: (self.inputs(rows[samples]), self.labels[rows[samples]]))


def divide(name: str, parts: Mapping[str, Part], division: Division, fingerprint: str, classes: tuple[str, ...] | None) -> Data:
    """Data of one pool (``""``), or of the parts ``test`` and ``train``, ``calibration`` or both.

    Without a part of their own, calibration samples come out of the training part, never out of the test part; without a
    training part there is nothing to train with. UserError, which begins with `name`, where there are too few samples.
    """
    try:
        training, calibration, evaluation = _divided(parts, division)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    return Data(name, training, calibration, evaluation, fingerprint, classes)


def _divided(parts: Mapping[str, Part], division: Division) -> tuple[Split, Split, Split]:
    if "" in parts:
        training, calibration, evaluation = (parts[""].split(rows) for rows in division.pool(parts[""].labels))
        return training, calibration, evaluation
    evaluation = parts["test"].split(division.evaluation_rows(parts["test"].labels))
    if "calibration" not in parts:
        training, calibration = (parts["train"].split(rows) for rows in division.training(parts["train"].labels))
        return training, calibration, evaluation
    calibration = parts["calibration"].split(division.calibration_rows(parts["calibration"].labels))
    if "train" not in parts:
        return calibration.first(0), calibration, evaluation
    return parts["train"].split(stratified_order(parts["train"].labels, division.seed)), calibration, evaluation
