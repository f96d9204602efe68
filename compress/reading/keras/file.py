"""Opening a Keras file: its configuration and its weights, sizes checked before anything is read, no object of it revived."""

import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from compress.reading import hdf5
from compress.reading.faults import DAMAGED
from compress.reading.keras.weights import LARGEST, Weights, weights_of
from compress.reading.unreadable import only_named
from targets.errors import UserError
from targets.registry import first_line

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
LARGEST_CONFIG = 64 * 2**20
HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Saved:
    """What a file holds: a model's configuration, its weights, and the generation of Keras that wrote it."""

    config: Mapping[str, Any]
    weights: Weights
    version: int


def is_keras(path: Path) -> bool:
    """Whether a file holds a Keras model, or its configuration, by its content; by its ending where the content is nothing else's."""
    start = _read(path, 8)
    if start.startswith(ZIP):
        return path.suffix == ".keras" or _is_archive(path)
    if start == HDF5:
        return True
    if path.suffix == ".json":
        return start[:1] == b"{" and _is_configuration(path)
    return any(only_named(path, ending) for ending in (".keras", ".h5", ".hdf5"))


@contextmanager
def opened(path: Path, weights: Path | None) -> Iterator[Saved]:
    """The content of a `.keras`, `.h5` or `config.json` file, the last with its weights beside it. UserError for a damaged one."""
    try:
        start = _read(path, 8)
        if start.startswith(ZIP):
            with _from_archive(path, weights) as saved:
                yield saved
        elif start == HDF5:
            with hdf5.opened(path) as file:
                yield _from_hdf5(path, file)
        elif path.suffix == ".json":
            with _weights_beside(path, weights) as file:
                config = _parsed(_limited(_read(path, LARGEST_CONFIG + 1), path.name))
                yield Saved(config, weights_of(file), _version(config, None))
        else:
            raise UserError("is damaged or no Keras file; save it again with model.save")
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except DAMAGED as error:
        raise UserError(f"{path}: can't be read as a Keras model: {first_line(error)}; save it again with model.save") from error


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most)


def _is_configuration(path: Path) -> bool:
    try:
        return {"class_name", "config"} <= set(_parsed(_limited(_read(path, LARGEST_CONFIG + 1), path.name)))
    except (UserError, *DAMAGED):
        return False


def _is_archive(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {CONFIG, METADATA} <= set(archive.namelist())
    except DAMAGED:
        return False


@contextmanager
def _from_archive(path: Path, weights: Path | None) -> Iterator[Saved]:
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        config = _parsed(_member(archive, CONFIG, LARGEST_CONFIG))
        metadata = _parsed(_member(archive, METADATA, LARGEST_CONFIG)) if METADATA in archive.namelist() else {}
        place = weights or Path(folder) / WEIGHTS
        if weights is None:
            if WEIGHTS not in archive.namelist():
                raise UserError(f"holds no {WEIGHTS}; save it as one file, not in shards")
            _unpack(archive, place)
        with hdf5.opened(place) as file:
            yield Saved(config, weights_of(file), _version(config, metadata.get("keras_version")))


def _from_hdf5(path: Path, file: h5py.File) -> Saved:
    if "model_config" not in file.attrs:
        raise UserError(
            f"holds weights without a model; name its configuration (the text of model.to_json()) as the source "
            f"and {path.name} as 'weights'"
        )
    text = file.attrs["model_config"]
    return Saved(_parsed(_limited(text, "model_config")), weights_of(file), _version({}, _text(file.attrs.get("keras_version", "2"))))


@contextmanager
def _weights_beside(path: Path, weights: Path | None) -> Iterator[h5py.File]:
    if weights is None:
        raise UserError(f"is a configuration without weights; name a .weights.h5 file as 'weights' beside '{path.name}'")
    if not weights.is_file():
        raise UserError(f"its weights {weights} are not there")
    with hdf5.opened(weights) as file:
        yield file


def _member(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    if archive.getinfo(name).file_size > largest:
        raise UserError(f"{name} is larger than any real one")
    with archive.open(name) as member:
        content: bytes = _limited(member.read(largest + 1), name)
    return content


def _unpack(archive: zipfile.ZipFile, place: Path) -> None:
    """Piece by piece, so that neither what the archive says nor what it really holds can fill the memory."""
    if archive.getinfo(WEIGHTS).file_size > LARGEST:
        raise UserError(f"its weights are larger than the {LARGEST >> 30} GB that are read")
    written = 0
    with archive.open(WEIGHTS) as member, place.open("wb") as file:
        while piece := member.read(1 << 20):
            written += file.write(piece)
            if written > LARGEST:
                raise UserError(f"its weights are larger than the {LARGEST >> 30} GB that are read")


def _limited(content: Any, name: str) -> Any:
    if len(content) > LARGEST_CONFIG:
        raise UserError(f"{name} is larger than any real one")
    return content


def _parsed(content: Any) -> dict[str, Any]:
    parsed = json.loads(_text(content))
    if not isinstance(parsed, dict):
        raise UserError("its configuration is no dictionary")
    return parsed


def _text(content: Any) -> str:
    return content.decode() if isinstance(content, bytes) else str(content)


def _version(config: Mapping[str, Any], said: str | None) -> int:
    """2 or 3; a configuration alone says its version, or has Keras 3's module names."""
    said = said or config.get("keras_version")
    if said:
        return 3 if str(said).partition(".")[0] == "3" else 2
    return 3 if "module" in config else 2
