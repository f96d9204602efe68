"""How to train: the options that `finetune`, `distill` and `qat` share."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from compress.training import augmentation
from compress.training.entries import Entries
from targets.errors import UserError, did_you_mean

Optimizer = Literal["adamw", "sgd"]
Schedule = Literal["cosine", "step", "constant"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]

AUTO = "auto"
WORDS = {"optimizer": get_args(Optimizer), "schedule": get_args(Schedule), "precision": get_args(Precision)}
RANGES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
    (("epochs", "batch_size", "patience", "devices"), lambda value: value >= 1, "at least 1"),
    (("learning_rate", "clip_norm"), lambda value: value > 0, "a number above 0"),
    (("momentum", "warmup", "label_smoothing", "held_out", "ema"), lambda value: 0 <= value < 1, "a share from 0 to below 1"),
    (("freeze_batchnorm",), lambda value: 0 <= value <= 1, "a share from 0 to 1"),
    (("weight_decay",), lambda value: value >= 0, "0 or more"),
)


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; `finetune`, `distill` and `qat` take these under the same names.

    The learning rate rises over the first `warmup` share of all steps and then follows the `schedule`: a cosine down to 0 (Loshchilov
    and Hutter 2017, without restarts), a tenth at each of the `milestones` (shares of all steps), or as it is. `held_out` is the share
    of the training part that chooses the best epoch and is not trained on; 0 takes the last epoch. `patience` ends the training
    after so many epochs without a better one. `ema` keeps a moving average of the weights with this decay for a step, which is what
    is scored and kept (Polyak and Juditsky 1992). `augment` changes each batch (see `compress.training.augmentation`).
    `keep_zeros` holds weights that are exactly 0 at 0, so that a pruned network stays pruned; `keep_clusters` trains those that `cluster`
    gave one value as one, by the mean of their gradients. In the last share `freeze_batchnorm`
    of all steps BatchNorms use and keep the statistics that they have. `precision` is Lightning Fabric's: mixed ones compute in
    16 bits and keep weights in 32. `devices`, a number or `auto` for all GPUs, share each batch: their gradients are summed, and each
    BatchNorm takes its statistics from its device's part, of which the mean is kept. UserError at construction for values that can't work.
    """

    epochs: int = 10
    learning_rate: float = 1e-3
    batch_size: int = 64
    optimizer: Optimizer = "adamw"
    weight_decay: float = 1e-4
    momentum: float = 0.9
    schedule: Schedule = "cosine"
    milestones: tuple[float, ...] = (0.5, 0.75)
    warmup: float = 0.1
    label_smoothing: float = 0.0
    augment: Entries = ()
    ema: float = 0.0
    clip_norm: float = 1.0
    held_out: float = 0.1
    patience: int | None = None
    keep_zeros: bool = True
    keep_clusters: bool = True
    freeze_batchnorm: float = 0.0
    precision: Precision = "32-true"
    devices: int | Literal["auto"] = 1

    def __post_init__(self) -> None:
        for names, possible, wanted in RANGES:
            for name in names:
                value = getattr(self, name)
                if value not in (None, AUTO) and not (math.isfinite(value) and possible(value)):
                    raise UserError(f"{name} must be {wanted}, not {value}")
        if not all(0 < milestone < 1 for milestone in self.milestones):
            raise UserError(f"milestones must be shares of the training, above 0 and below 1, not {list(self.milestones)}")
        if self.patience is not None and not self.held_out:
            raise UserError("patience needs samples that are not trained on; set held_out above 0")
        for name, words in WORDS.items():
            if getattr(self, name) not in words:
                raise UserError(f"{name} '{getattr(self, name)}' is not known; {did_you_mean(str(getattr(self, name)), words)}")
        augmentation.parse(self.augment)

    def rate(self, progress: float) -> float:
        """The learning rate after the share `progress` of all steps."""
        if progress < self.warmup:
            return self.learning_rate * progress / self.warmup
        if self.schedule == "step":
            return self.learning_rate * 0.1 ** sum(progress >= milestone for milestone in self.milestones)
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - self.warmup) / (1 - self.warmup))))
