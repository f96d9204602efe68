"""Boards as data: one YAML file a board, each figure with its source. Users name a file of their own by its path."""

import hashlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from targets.base import Target
from targets.errors import UserError, did_you_mean
from targets.registry import load_class

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Board:
    """What is published about a board. Sizes in bytes, clock in Hz, power in watts while computing.

    `target` is the kind that runs files on it: a module of `targets/`. `core` is the core's name as the kind knows it.
    `ram_bytes` and `flash_bytes` are what a program may use; None where that is not what limits it.
    `model` holds the constants that turn exact counts into estimates, for the kind to interpret.
    """

    name: str
    title: str
    target: str
    sources: dict[str, str]
    core: str | None = None
    clock_hz: int | None = None
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    power_w: float | None = None
    model: dict[str, Any] = field(default_factory=dict)


def names() -> tuple[str, ...]:
    """Every board that ships, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def load(name: str) -> Board:
    """The board that ships under this name, or the user's own YAML file at this path.

    Raises UserError for an unknown name, a file that can't be read, or a key that is wrong or missing.
    """
    path = _path(name)
    try:
        text = path.read_text(encoding="utf-8")
        data = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: can't be read as a board: {' '.join(str(error).split())}") from None
    return _board(path, data)


def target(name: str) -> Target:
    """The target that runs files on the board of this name (or YAML file)."""
    board = load(name)
    if not (FOLDER.parent / f"{board.target}.py").exists() and not (FOLDER.parent / board.target / "__init__.py").exists():
        raise UserError(f"board {board.name}: no target kind is called '{board.target}'; {did_you_mean(board.target, kinds())}")
    loaded: Target = load_class("targets", board.target)(board)
    return loaded


def kinds() -> tuple[str, ...]:
    """The target kinds that the boards name, sorted."""
    return tuple(sorted({load(name).target for name in names()}))


def fingerprint(name: str) -> str:
    """A hash of the board's file."""
    return hashlib.sha256(_path(name).read_bytes()).hexdigest()


def _path(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    if name not in names():
        raise UserError(f"no board is called '{name}'; {did_you_mean(name, names())}")
    return FOLDER / f"{name}.yaml"


def _board(path: Path, data: Any) -> Board:
    if not isinstance(data, dict):
        raise UserError(f"{path}: a board is a YAML mapping with name, title, target and sources")
    known = {entry.name: entry for entry in fields(Board)}
    for key in data:
        if key not in known:
            raise UserError(f"{path}: unknown key '{key}'; {did_you_mean(str(key), known)}")
    for key in ("name", "title", "target", "sources"):
        if key not in data:
            raise UserError(f"{path}: key '{key}' is missing")
    for key in ("clock_hz", "flash_bytes", "ram_bytes"):
        if key in data and not (isinstance(data[key], int) and data[key] > 0):
            raise UserError(f"{path}: '{key}' must be a whole number above 0, not {data[key]!r}")
    return Board(**data)
