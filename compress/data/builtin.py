"""Data that comes with a dependency: scikit-learn's handwritten digits."""

from dataclasses import dataclass
from typing import Any, ClassVar

from compress.arrays import Preparation, from_arrays
from compress.data.base import Data
from compress.splitting import Division
from targets.errors import UserError, did_you_mean

NAMES = ("digits",)


@dataclass(frozen=True)
class Builtin:
    """`digits`: 1,797 handwritten digits as float32 [N, 1, 8, 8] from 0 to 1, in ten classes.

    From the UCI repository's "Optical Recognition of Handwritten Digits", as scikit-learn ships it. `calibration` and
    `evaluation` say how many samples those parts get, `seed` which.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str = "digits"
    calibration: int = 200
    evaluation: int = 400
    seed: int = 0

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise UserError(f"data: no built-in data is called '{self.name}'; {did_you_mean(self.name, NAMES)}")
        self._division()

    def __call__(self) -> Data:
        """Loads the digits."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        arrays = {"x": digits.images, "y": digits.target, "classes": digits.target_names.astype(str)}
        return from_arrays(self.name, arrays, self._division(), Preparation(layout="nhw", scale=1 / 16))

    def _division(self) -> Division:
        return Division(self.calibration, self.evaluation, self.seed)
