"""Data that the user's own code makes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from compress.arrays import Preparation, from_arrays
from compress.data.base import Data
from compress.splitting import Division
from targets.errors import UserError
from targets.registry import first_line, load_named, own_code


@dataclass(frozen=True)
class Factory:
    """Calls `function`, `package.module:name`, without arguments; it runs only because the recipe names it.

    It is looked for in `folder` (the recipe's), the current folder and installed packages, and returns a
    `compress.data.base.Data`, which is used as it is, or arrays under the names that `compress.arrays.from_arrays` reads
    (`x` and `y`, or `x_train`, `y_train`, `x_test`, `y_test`), images NCHW, uint8 as 0 to 1 after division by 255.
    `calibration`, `evaluation` and `seed` divide arrays only.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    function: str
    folder: Path | None = None
    calibration: int | None = None
    evaluation: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if ":" not in self.function:
            raise UserError(f"'{self.function}': own code is named as package.module:name")
        self._division()

    def __call__(self) -> Data:
        """Imports and calls the function. UserError for code that fails and results that are no data."""
        function = load_named(self.function, self.folder)
        if not callable(function):
            raise UserError(f"{self._name}: is a {type(function).__name__}, not a function without arguments")
        try:
            with own_code(self.folder):
                return self._data(function())
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{self._name}: failed: {first_line(error)}") from error

    @property
    def _name(self) -> str:
        return f"'{self.function}'"

    def _data(self, made: Any) -> Data:
        if isinstance(made, Data):
            self._check(made)
            return made
        if not isinstance(made, Mapping):
            raise UserError(f"{self._name}: returned a {type(made).__name__}; return compress.data.base.Data or a dict of arrays x and y")
        arrays = {str(key): np.asarray(values) for key, values in made.items()}
        return from_arrays(self._name, arrays, self._division(), Preparation())

    def _check(self, made: Data) -> None:
        """Loads one sample of each part, so that wrong data is told here and not deep inside a pass."""
        for part in ("training", "calibration", "evaluation"):
            split = getattr(made, part)
            if split.samples < 1 and part != "training":
                raise UserError(f"{self._name}: {part} holds no samples; give it some")
            for inputs, labels in split.first(1).batches():
                floats = isinstance(inputs, tuple) and all(values.dtype == np.float32 for values in inputs)
                if not floats or {len(values) for values in (*inputs, labels)} != {1}:
                    raise UserError(f"{self._name}: {part}.load must give a tuple of float32 arrays [N, …] and labels [N]")

    def _division(self) -> Division:
        return Division(self.calibration, self.evaluation, self.seed)
