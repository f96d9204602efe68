"""Arrays under agreed names, made into data: what `.npz` files, own code and the built-in sets have in common."""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from compress.data.base import Data, Inputs
from compress.splitting import Division, Part, divide
from targets.errors import UserError, did_you_mean

Array = NDArray[Any]
Layout = Literal["nchw", "nhwc", "nhw"]

KEY = re.compile(r"(x\d*|y)(?:_(train|calibration|test))?")
EXAMPLES = ("x", "y", "x_train", "y_train", "x_calibration", "y_calibration", "x_test", "y_test", "classes")


@dataclass(frozen=True)
class Preparation:
    """From stored values to what the network takes: (value * scale - mean) / std, as float32, images NCHW.

    `layout` says how images are stored: `nhwc` moves the channels of [N, H, W, C] and `nhw` gives [N, H, W] its one channel;
    inputs with another number of axes stay as they are. `scale` None: 1/255 for uint8 and 1 for everything else. `mean` and
    `std` hold one number, or one a channel (axis 1). UserError at construction for what can't be.
    """

    layout: Layout = "nchw"
    scale: float | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.layout not in get_args(Layout):
            raise UserError(f"layout: '{self.layout}' is none; {did_you_mean(self.layout, get_args(Layout))}")
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            raise UserError(f"scale: a number above 0 is needed, not {self.scale}")
        for key, values in (("mean", self.mean), ("std", self.std)):
            if not values or not all(map(math.isfinite, values)):
                raise UserError(f"{key}: one number, or one a channel, is needed, not {list(values)}")
        if min(self.std) <= 0:
            raise UserError(f"std: numbers above 0 are needed, not {list(self.std)}")

    def __call__(self, values: Array) -> Array:
        """Stored values [N, …] of any numeric dtype as float32 [N, …]."""
        laid_out = self._lay_out(values)
        scale = self.scale or (1 / 255 if values.dtype == np.uint8 else 1.0)
        channels = (1, -1) + (1,) * (laid_out.ndim - 2)
        mean, std = (np.asarray(numbers, np.float32).reshape(channels) for numbers in (self.mean, self.std))
        return np.ascontiguousarray((laid_out.astype(np.float32) * np.float32(scale) - mean) / std)

    def check(self, where: str, values: Array) -> None:
        """UserError where `mean` or `std` doesn't fit the channels of this input [N, …]."""
        channels = self._lay_out(values[:1]).shape[1]
        for key in ("mean", "std"):
            given = len(getattr(self, key))
            if given not in (1, channels):
                raise UserError(f"{where}: {key} has {given} numbers and the input {channels} channels; give 1 or {channels}")

    def _lay_out(self, values: Array) -> Array:
        if self.layout == "nhwc" and values.ndim == 4:
            return values.transpose(0, 3, 1, 2)
        if self.layout == "nhw" and values.ndim == 3:
            return values[:, None]
        return values


@dataclass(frozen=True)
class Stored:
    """Inputs as they are stored, [N, …] each, and labels: int64 [N], or float32 [N, …] for regression."""

    inputs: Inputs
    labels: Array

    def part(self, preparation: Preparation) -> Part:
        """These samples, converted only when a batch needs them."""
        return Part(self.labels, lambda rows: tuple(preparation(values[rows]) for values in self.inputs))


def from_arrays(name: str, arrays: Mapping[str, Array], division: Division, preparation: Preparation) -> Data:
    """Data of arrays called `x` (or `x0`, `x1`, … for several inputs) and `y`, one pool that `division` divides.

    Or with parts already apart: names that end in `_train`, `_test` and, if there is one, `_calibration` (otherwise
    calibration samples come out of the training part, never out of the test part). Without a training part nothing can be
    trained, and calibration and test are needed. `classes` may hold the classes' names. UserError, which begins with `name`,
    for a name that is unknown or missing, lengths or shapes that differ, labels that are no classes, NaN and infinity.
    """
    stored = _stored(name, arrays)
    classes = _classes(name, arrays, stored)
    for part in stored.values():
        for key, values in zip(_input_names(part), part.inputs, strict=True):
            preparation.check(f"{name}: {key}", values)
    parts = {suffix: part.part(preparation) for suffix, part in stored.items()}
    return divide(name, parts, division, fingerprint(arrays, division, preparation), classes)


def fingerprint(arrays: Mapping[str, Array], division: Division, preparation: Preparation) -> str:
    """SHA-256 over names, shapes, dtypes and values, and over how they are divided and prepared."""
    digest = hashlib.sha256(repr((division, preparation)).encode())
    for key in sorted(arrays):
        values = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {values.dtype.str} {values.shape}".encode())
        digest.update(values.tobytes() if values.dtype.kind == "U" else values.data)
    return digest.hexdigest()


def _stored(name: str, arrays: Mapping[str, Array]) -> dict[str, Stored]:
    grouped: dict[str, dict[str, Array]] = {}
    for key in sorted(arrays):
        match = KEY.fullmatch(key)
        if match:
            grouped.setdefault(match[2] or "", {})[match[1]] = arrays[key]
        elif key != "classes":
            raise UserError(f"{name}: unknown array '{key}'; {did_you_mean(key.lower(), EXAMPLES)}")
    _refuse_missing(name, set(grouped))
    parts = {suffix: _part(name, suffix, members) for suffix, members in grouped.items()}
    shapes = {tuple(values.shape[1:] for values in part.inputs) for part in parts.values()}
    kinds = {(part.labels.dtype, part.labels.shape[1:]) for part in parts.values()}
    if len(shapes) > 1 or len(kinds) > 1:
        raise UserError(f"{name}: its parts differ in inputs or labels: {_described(parts)}; save them with equal shapes and dtypes")
    return parts


def _refuse_missing(name: str, found: set[str]) -> None:
    if not found:
        raise UserError(f"{name}: holds no samples; save arrays x and y, or x_train, y_train, x_test and y_test")
    if "" in found and len(found) > 1:
        raise UserError(f"{name}: has both x, y and arrays of single parts; keep x and y, or x_train, y_train, x_test and y_test")
    if "" not in found and "test" not in found:
        raise UserError(f"{name}: x_test and y_test are missing; add them, or call the arrays x and y to have them divided")
    if found == {"test"}:
        raise UserError(f"{name}: x_train and y_train are missing; add them, or x_calibration and y_calibration if nothing is trained")


def _part(name: str, suffix: str, members: dict[str, Array]) -> Stored:
    ending = f"_{suffix}" if suffix else ""
    names = sorted((key for key in members if key != "y"), key=lambda key: int(key[1:] or 0))
    if "y" not in members or not names:
        raise UserError(f"{name}: '{'x' if 'y' in members else 'y'}{ending}' is missing; inputs x{ending} need labels y{ending}")
    if len(names) > 1 and names != [f"x{i}" for i in range(len(names))]:
        raise UserError(f"{name}: several inputs are called x0{ending}, x1{ending}, …, not {', '.join(names)}")
    for key in names:
        _check_input(f"{name}: {key}{ending}", members[key])
        if len(members[key]) != len(members["y"].reshape(-1, 1) if members["y"].ndim == 0 else members["y"]):
            raise UserError(
                f"{name}: {key}{ending} has {len(members[key])} samples and y{ending} {members['y'].size}; they must be as many"
            )
    return Stored(tuple(members[key] for key in names), _labels(f"{name}: y{ending}", members["y"]))


def _check_input(where: str, values: Array) -> None:
    if values.dtype.kind not in "buif":
        raise UserError(f"{where}: holds {values.dtype}, not numbers; save it as uint8 or float32")
    if values.ndim < 2 or values.size == 0:
        raise UserError(f"{where}: has shape {list(values.shape)}; at least one sample and one value a sample, [N, …], are needed")
    _refuse_not_finite(where, values)


def _refuse_not_finite(where: str, values: Array) -> None:
    if values.dtype.kind != "f":
        return
    for start in range(0, len(values), 1024):
        chunk = values[start : start + 1024]
        with np.errstate(over="ignore"):
            finite = np.isfinite(chunk.astype(np.float32)).reshape(len(chunk), -1).all(1)
        if not finite.all():
            raise UserError(f"{where}: sample {start + int(np.argmin(finite))} holds NaN or infinity; repair or drop it")


def _labels(where: str, values: Array) -> Array:
    if values.size == 0 or values.ndim == 0:
        raise UserError(f"{where}: has shape {list(values.shape)}; one label a sample, [N], is needed")
    if values.dtype.kind == "f":
        _refuse_not_finite(where, values)
        return values.astype(np.float32)
    if values.dtype.kind not in "bui":
        raise UserError(f"{where}: holds {values.dtype}, not numbers; labels are class numbers 0, 1, … or float32 targets")
    if values.shape not in ((len(values),), (len(values), 1)):
        raise UserError(f"{where}: has shape {list(values.shape)}; class numbers are [N], float targets of regression float32 [N, …]")
    labels = values.reshape(-1).astype(np.int64)
    if labels.min() < 0:
        raise UserError(f"{where}: class {labels.min()} is below 0; classes are numbered from 0")
    return labels


def _classes(name: str, arrays: Mapping[str, Array], parts: dict[str, Stored]) -> tuple[str, ...] | None:
    if "classes" not in arrays:
        return None
    values = arrays["classes"]
    if values.dtype.kind != "U" or values.ndim != 1:
        raise UserError(
            f"{name}: classes: a list of names is needed, not {values.dtype} {list(values.shape)}; save np.array(['cat', 'dog'])"
        )
    largest = max(int(part.labels.max()) for part in parts.values())
    if largest >= len(values):
        raise UserError(f"{name}: classes: {len(values)} names and a label {largest}; name every class from 0 on")
    return tuple(str(value) for value in values)


def _input_names(part: Stored) -> list[str]:
    return ["x"] if len(part.inputs) == 1 else [f"x{i}" for i in range(len(part.inputs))]


def _described(parts: dict[str, Stored]) -> str:
    described = [(suffix, _shapes(part.inputs), part.labels.dtype, _shapes((part.labels,))) for suffix, part in parts.items()]
    return "; ".join(f"{suffix} {inputs}, labels {dtype} {labels}" for suffix, inputs, dtype, labels in described)


def _shapes(arrays: Inputs) -> str:
    return " ".join(str(["N", *values.shape[1:]]).replace("'", "") for values in arrays)
