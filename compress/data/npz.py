"""A file of numpy's own: `numpy.savez("data.npz", x=images, y=classes)`."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from compress.arrays import Array, Layout, Preparation, from_arrays
from compress.data.base import Data
from compress.splitting import Division
from targets.errors import UserError
from targets.registry import first_line

UNREADABLE = (OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What numpy and zipfile raise for a damaged, encrypted or foreign file."""


@dataclass(frozen=True)
class Npz:
    """Arrays in a `.npz` file; `compress.arrays.from_arrays` says what they are called.

    One pool `x` and `y`, of which `evaluation` samples (a fifth) evaluate and `calibration` samples (200, but at most half of
    the rest) calibrate, chosen by `seed`; or parts already apart: `x_train`, `y_train`, `x_test`, `y_test`. Inputs are
    [N, …] of any numeric dtype and become (value * scale - mean) / std in float32; `layout` says how images are stored and
    `scale` is 1/255 for uint8 unless given (see `compress.arrays.Preparation`). Files with Python objects are refused.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    path: Path
    calibration: int | None = None
    evaluation: int | None = None
    layout: Layout = "nchw"
    scale: float | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    seed: int = 0

    def __post_init__(self) -> None:
        self._division()
        self._preparation()

    def __call__(self) -> Data:
        """Reads the file. UserError naming the file, the array and the cure."""
        return from_arrays(str(self.path), _read(Path(self.path)), self._division(), self._preparation())

    def _division(self) -> Division:
        return Division(self.calibration, self.evaluation, self.seed)

    def _preparation(self) -> Preparation:
        return Preparation(self.layout, self.scale, self.mean, self.std)


def _read(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise UserError(f"{path}: file does not exist; save it with numpy.savez('{path.name}', x=inputs, y=labels)")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: is no .npz file; save it with numpy.savez('{path.name}', x=inputs, y=labels)")
    key = "file"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {}
            for key in file.files:
                arrays[key] = file[key]
            return arrays
    except MemoryError:
        raise UserError(f"{path}: '{key}' is larger than this machine's memory; save fewer samples, or uint8") from None
    except UNREADABLE as error:
        raise UserError(f"{path}: '{key}' can't be read ({first_line(error)}); save plain arrays again with numpy.savez") from None
