"""Costs of operators on a board: taken once, kept in the user's cache by operator, board and versions."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from compress.progress import Progress
from compress.staircase.clocks import CLOCKS
from compress.staircase.clocks.base import Clock
from compress.staircase.files import Precision
from compress.staircase.operation import Operation
from targets import boards
from targets.cache import cache_folder
from targets.errors import UserError


@dataclass(frozen=True)
class Table:
    """What is known of one clock, and where it is kept."""

    clock: Clock
    path: Path
    known: dict[str, float]

    def costs(self, operations: Sequence[Operation], progress: Progress) -> dict[Operation, float]:
        """The cost of each operation; those that aren't known are timed, and kept a batch at a time."""
        missing = [each for each in dict.fromkeys(operations) if _key(each) not in self.known]
        if missing:
            with progress.task(f"timing operators on {self.clock.board.name}", len(missing)) as task:
                for start in range(0, len(missing), self.clock.batch):
                    part = missing[start : start + self.clock.batch]
                    self.known.update(zip(map(_key, part), self.clock.time(part, task.advance), strict=True))
                    _write(self.path, self.known)
        return {each: self.known[_key(each)] for each in operations}


def of(board: str, precision: Precision) -> Table:
    """The table of a board. UserError where operators can't be timed on it, or something is missing here for it."""
    refuse_untimed(board)
    described = boards.load(board)
    problem = boards.target(board).available()
    if problem is not None:
        raise UserError(f"target: {problem}")
    clock: Clock = CLOCKS.load(described.target)(described, precision)
    path = cache_folder("staircase") / f"{described.name}-{sha256(clock.version.encode()).hexdigest()[:24]}.json"
    return Table(clock, path, _read(path))


def refuse_untimed(board: str) -> None:
    """UserError for a board that isn't known, or on whose kind of target operators can't be timed one by one."""
    kinds = CLOCKS.names()
    if boards.load(board).target not in kinds:
        known = [name for name in boards.names() if boards.load(name).target in kinds]
        raise UserError(f"target: on {board} operators can't be timed one by one; possible: {', '.join(known)}")


def _key(operation: Operation) -> str:
    return json.dumps(list(asdict(operation).values()))


def _read(path: Path) -> dict[str, float]:
    """What is kept; nothing where the file is missing or damaged."""
    try:
        return {str(key): float(cost) for key, cost in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _write(path: Path, known: dict[str, float]) -> None:
    fresh = path.with_suffix(f".{sha256(repr(sorted(known.items())).encode()).hexdigest()[:12]}")
    fresh.write_text(json.dumps(known), encoding="utf-8")
    fresh.replace(path)
