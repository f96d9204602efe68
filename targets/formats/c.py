"""Reads a folder of generated C: `model.json` tells what the network takes, gives and needs."""

import json
from pathlib import Path
from typing import Any

from targets.base import Artifact, Tensor
from targets.errors import UserError
from targets.formats import sha256

SCHEMA = 1


def read(folder: Path) -> Artifact:
    """The folder as an artifact: the hash runs over its sources, headers last; `details` has `arena_bytes`, `layers`, `name`, files,
    and `memory_plan` and `stripes` where the compiler told them.

    Raises UserError where `model.json` or a file that it names is missing or damaged.
    """
    path = folder / "model.json"
    try:
        model = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError):
        raise UserError(f"{path}: can't be read as a description of C sources; export the model again") from None
    if not isinstance(model, dict) or model.get("schema") != SCHEMA:
        raise UserError(f"{path}: not schema {SCHEMA}; export the model again with this version")
    try:
        files = [folder / _plain(name) for name in (*model["sources"], *model["headers"])]
        return Artifact(
            path=folder,
            format="c",
            sha256=sha256(files),
            bytes=sum(file.stat().st_size for file in files),
            inputs=tuple(_tensor(entry) for entry in model["inputs"]),
            outputs=tuple(_tensor(entry) for entry in model["outputs"]),
            details={
                **{key: model[key] for key in ("name", "arena_bytes", "layers", "sources", "headers")},
                "memory_plan": [_numbers(place) for place in model.get("memory_plan") or []],
                "stripes": _numbers(model["stripes"]) if model.get("stripes") else None,
            },
        )
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}; export the model again") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(f"{path}: an entry is missing or of the wrong kind; export the model again") from None


def _numbers(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry whose values, but for a name, are whole numbers."""
    return {key: value if key == "name" else int(value) for key, value in entry.items()}


def _plain(name: str) -> str:
    if Path(name).name != name:
        raise ValueError(name)
    return name


def _tensor(entry: dict[str, Any]) -> Tensor:
    permutation = entry["permutation"]
    return Tensor(**{**entry, "shape": tuple(entry["shape"]), "permutation": None if permutation is None else tuple(permutation)})
