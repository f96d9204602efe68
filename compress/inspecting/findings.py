"""What an inspection finds."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Port:
    """An input or output: `shape` of one sample laid out as data are, None for an open size; `layout` says so, and how the file has it."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    layout: str = ""


@dataclass(frozen=True)
class Ability:
    """Whether a pass, an export or a board works on the network.

    `on` is what it was tried with (`float`, `int8`, a file's format); `reason` names the layer that stands in the way and the cure,
    or what came of it.
    """

    name: str
    works: bool
    on: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Weight:
    """A tensor in a file that holds no network."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Inspection:
    """All that is known of a file. `facts` has its producer, versions and the like; parameters and MACs (of one sample) are None where
    they can't be counted; `tried_on` says with which inputs abilities were found.
    """

    path: Path
    kind: str
    bytes: int
    facts: dict[str, str] = field(default_factory=dict)
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    parameters: int | None = None
    macs: int | None = None
    operators: dict[str, int] = field(default_factory=dict)
    weights: tuple[Weight, ...] = ()
    passes: tuple[Ability, ...] = ()
    exports: tuple[Ability, ...] = ()
    targets: tuple[Ability, ...] = ()
    tried_on: str = ""
    notes: tuple[str, ...] = ()
