"""A folder of pictures, one subfolder a class."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from compress.arrays import Array, Preparation
from compress.data.base import Data, Inputs
from compress.splitting import Division, Part, Rows, divide
from targets.errors import UserError, did_you_mean
from targets.registry import first_line

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
Fit = Literal["crop", "stretch"]
BILINEAR = Image.Resampling.BILINEAR
BROKEN = (OSError, ValueError, SyntaxError, EOFError)
"""What Pillow raises for a damaged or foreign file."""


@dataclass(frozen=True)
class Images:
    """Pictures in `path/<class>/`, or already divided in `path/train/<class>/` and `path/test/<class>/`
    (and `path/calibration/<class>/`, if there is one).

    Classes are numbered in the order of their names. Pictures are decoded when a batch needs them: RGB (or grey, for one
    of `channels`), made `size` = [height, width] by cutting the middle out (`fit: crop`) or by stretching, and given to the
    network as float32 [N, channels, height, width], (value * scale - mean) / std with scale 1/255 unless given. Without
    `test`, a fifth of the pictures (`evaluation`) evaluates; 200 training pictures, or half of fewer (`calibration`),
    calibrate; `seed` chooses them. Files and folders whose names begin with a dot, and files of other kinds, are left out.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    path: Path
    size: tuple[int, int]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float | None = None
    channels: Literal[1, 3] = 3
    fit: Fit = "crop"
    calibration: int | None = None
    evaluation: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise UserError(f"size: [height, width] in pixels is needed, not {list(self.size)}")
        if self.fit not in get_args(Fit):
            raise UserError(f"fit: '{self.fit}' is none; {did_you_mean(self.fit, get_args(Fit))}")
        if self.channels not in (1, 3):
            raise UserError(f"channels: 1 (grey) or 3 (RGB), not {self.channels}")
        self._preparation().check("images", np.zeros((1, 1, 1, self.channels), np.uint8))
        self._division()

    def __call__(self) -> Data:
        """Lists and hashes the files; decodes none. UserError for a folder that holds no classes or classes that differ."""
        folder = Path(self.path)
        try:
            listings = _listings(folder)
            fingerprint = self._fingerprint(folder, listings)
        except OSError as error:
            raise UserError(f"{error.filename or folder}: can't be read: {error.strerror}") from None
        parts = {name: Part(listing.labels, partial(self._decode, listing.files)) for name, listing in listings.items()}
        classes = next(iter(listings.values())).classes
        return divide(str(folder), parts, self._division(), fingerprint, classes)

    def _division(self) -> Division:
        return Division(self.calibration, self.evaluation, self.seed)

    def _preparation(self) -> Preparation:
        return Preparation("nhwc", self.scale, self.mean, self.std)

    def _decode(self, files: Sequence[Path], rows: Rows) -> Inputs:
        return (self._preparation()(np.stack([self._pixels(files[row]) for row in rows])),)

    def _pixels(self, file: Path) -> Array:
        """One picture as uint8 [height, width, channels]."""
        size = (self.size[1], self.size[0])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(file) as picture:
                    _refuse_deep(file, picture.mode)
                    colours = picture.convert("L" if self.channels == 1 else "RGB")
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise UserError(f"{file}: has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller") from None
        except BROKEN as error:
            raise UserError(f"{file}: can't be decoded ({first_line(error)}); repair or remove it") from None
        resized = ImageOps.fit(colours, size, BILINEAR) if self.fit == "crop" else colours.resize(size, BILINEAR)
        return np.asarray(resized, np.uint8).reshape(*self.size, self.channels)

    def _fingerprint(self, folder: Path, listings: dict[str, "Listing"]) -> str:
        """SHA-256 over every file's name and bytes, and over how they are divided and decoded."""
        digest = hashlib.sha256(repr(replace(self, path=Path())).encode())
        for listing in listings.values():
            for file in listing.files:
                with file.open("rb") as stream:
                    content = hashlib.file_digest(stream, "sha256").hexdigest()
                digest.update(f"{file.relative_to(folder).as_posix()}\0{content}\0".encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Listing:
    """The files of one part, the class number of each, and the classes' names."""

    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]


def _listings(folder: Path) -> dict[str, Listing]:
    if not folder.is_dir():
        raise UserError(f"{folder}: folder does not exist; it holds one folder of pictures a class")
    divided = [name for name in ("train", "calibration", "test") if (folder / name).is_dir()]
    if not {"train", "test"} <= set(divided):
        return {"": _listing(folder)}
    listings = {name: _listing(folder / name) for name in divided}
    for name, listing in listings.items():
        different = set(listing.classes) ^ set(listings["train"].classes)
        if different:
            raise UserError(f"{folder}: class '{min(different)}' is not in both train and {name}; each needs a folder for every class")
    return listings


def _listing(folder: Path) -> Listing:
    names = [entry.name for entry in sorted(folder.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
    if not names:
        raise UserError(f"{folder}: holds no folders; put the pictures of each class in a folder with the class's name")
    by_class = [sorted(file for file in (folder / name).iterdir() if _is_picture(file)) for name in names]
    for name, files in zip(names, by_class, strict=True):
        if not files:
            raise UserError(f"{folder / name}: holds no pictures ({', '.join(ENDINGS)}); a class needs at least one")
    labels = np.repeat(np.arange(len(names)), [len(files) for files in by_class])
    return Listing(tuple(file for files in by_class for file in files), labels, tuple(names))


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in ENDINGS and not file.name.startswith(".") and file.is_file()


def _refuse_deep(file: Path, mode: str) -> None:
    if mode.startswith(("I", "F")):
        raise UserError(f"{file}: has more than 8 bits a channel; convert it to an 8-bit picture")
