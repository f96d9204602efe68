"""Budgets: limits that decide whether a run passes. Checked when the recipe is read, judged when everything is measured."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compress.report.content import Row, Verdict
from targets import boards
from targets.errors import UserError, did_you_mean

KB = 1024
ROUNDING = 1e-9
"""0.985 - 0.975 is a little more than 0.01 in binary and still a drop of one point."""

LARGEST = 1e15


@dataclass(frozen=True)
class Figure:
    """What a budget limits: how to read it off a row (given the original network's accuracy), and how to say it."""

    read: Callable[[Row, float | None], float | None]
    say: Callable[[float], str]
    source: Callable[[Row], str | None] = lambda row: row.source


def _drop(row: Row, original: float | None) -> float | None:
    reference = original if row.original_accuracy is None else row.original_accuracy
    return None if row.accuracy is None or reference is None else reference - row.accuracy


def _size(row: Row, _: float | None) -> float | None:
    """C is sources, of which `flash_kb` counts what reaches the board."""
    return None if row.bytes is None else row.bytes / KB


FIGURES = {
    "accuracy_drop": Figure(_drop, lambda value: f"{value:.4f}"),
    "size_kb": Figure(_size, lambda value: f"{value:.1f} KB", lambda _: None),
    "latency_ms": Figure(lambda row, _: row.latency_ms, lambda value: f"{value:.4g} ms", lambda row: row.latency_source),
    "ram_kb": Figure(lambda row, _: None if row.ram_bytes is None else row.ram_bytes / KB, lambda value: f"{value:.1f} KB"),
    "flash_kb": Figure(lambda row, _: None if row.flash_bytes is None else row.flash_bytes / KB, lambda value: f"{value:.1f} KB"),
    "energy_mj": Figure(lambda row, _: row.energy_mj, lambda value: f"{value:.4g} mJ", lambda row: row.energy_source),
}
"""Everything that can be limited on a target. KB are 1,024 bytes; a drop is the original network's metric minus the file's."""

EVERYWHERE = ("accuracy_drop", "size_kb")
"""What can be limited for every file at once."""


def check_budgets(budgets: Mapping[str, Any], targets: Iterable[str], metric: str = "accuracy") -> None:
    """Refuses, with UserError, what is no budget: unknown keys and targets (with the nearest right word) and limits that are no numbers.

    `targets` are the boards the recipe measures on, by name or YAML file.
    """
    names = {_board_name(target) for target in targets}
    for key, value in budgets.items():
        if key in EVERYWHERE:
            _check_limit(f"budgets.{key}", key, value, metric)
        elif _board_name(str(key)) in names:
            _check_target(f"budgets.{key}", value, metric)
        elif key in FIGURES:
            raise UserError(f"budgets.{key}: is limited for each target; write it below the target's name, like host: {{{key}: {value}}}")
        elif key in boards.names():
            raise UserError(f"budgets.{key}: nothing is measured on this board; add '{key}' to targets")
        else:
            raise UserError(f"budgets: unknown key '{key}'; {did_you_mean(str(key), {*names, *EVERYWHERE})}")


def verdicts(budgets: Mapping[str, Any], rows: Sequence[Row], original: float | None) -> list[Verdict]:
    """A verdict on each budget, in their order. `original` is the metric of the network as it came.

    Every file must keep a budget: the one that comes closest to the limit or exceeds it most decides. A budget on every file
    takes each file's figure from all targets that gave one. A file without any leaves the budget not checked, unless another misses it.
    """
    found = []
    for key, value in budgets.items():
        if key in EVERYWHERE:
            found.append(_verdict(key, None, float(value), rows, original))
        else:
            name = _board_name(str(key))
            there = [row for row in rows if row.target == name]
            found.extend(_verdict(figure, name, float(limit), there, original) for figure, limit in value.items())
    return found


def _verdict(key: str, target: str | None, limit: float, rows: Sequence[Row], original: float | None) -> Verdict:
    figure = FIGURES[key]
    counted = [row for row in rows if not (key == "size_kb" and row.format == "c")]
    values = [(value, row) for row in counted if (value := figure.read(row, original)) is not None and math.isfinite(value)]
    measured = {row.artifact for _, row in values}
    missing = {row.artifact: row for row in counted if row.artifact not in measured}
    if not values:
        return Verdict(key, target, limit, None, None, None, f"not checked: {_reason(missing)}")
    value, row = max(values, key=lambda pair: pair[0])
    source = figure.source(row)
    why = f"{row.artifact}{'' if target else f' on {row.target}'}: {figure.say(value)}{f' ({source})' if source else ''}"
    if value > limit + ROUNDING:
        return Verdict(key, target, limit, value, False, row.artifact, why)
    if missing:
        return Verdict(key, target, limit, value, None, row.artifact, f"{why} keeps it; not checked: {_reason(missing)}")
    return Verdict(key, target, limit, value, True, row.artifact, why)


def _reason(missing: Mapping[str, Row]) -> str:
    if not missing:
        return "no file that this limits was made"
    return "; ".join(f"{artifact}: {row.reason or 'this target does not give the figure'}" for artifact, row in missing.items())


def _board_name(word: str) -> str:
    """The name that rows carry: a user's own YAML file is known by the name it holds."""
    return boards.load(word).name if word.endswith((".yaml", ".yml")) else word


def _check_target(where: str, value: Any, metric: str) -> None:
    if not isinstance(value, Mapping) or not value:
        raise UserError(f"{where}: budgets of a target are a mapping, like {{latency_ms: 5}}, not {value!r}")
    for key, limit in value.items():
        if key not in FIGURES:
            raise UserError(f"{where}: unknown key '{key}'; {did_you_mean(str(key), FIGURES)}")
        _check_limit(f"{where}.{key}", key, limit, metric)


def _check_limit(where: str, key: str, value: Any, metric: str) -> None:
    lowest = "of 0 or more" if key == "accuracy_drop" else "above 0"
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST
    if not number or (value == 0 and key != "accuracy_drop"):
        raise UserError(f"{where}: a number {lowest} is needed, not {value!r}")
    if key == "accuracy_drop" and metric == "accuracy" and value >= 1:
        raise UserError(f"{where}: is a share of 1, so one point is 0.01; {value!r} would allow any drop")
