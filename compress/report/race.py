"""What `edgepress race` prints."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compress.racing import Race, Runner
from compress.report import wording

SCHEMA = 1


def as_dict(found: Race) -> dict[str, Any]:
    """For programs. `ratio` is the first file's latency divided by this one's; `low` and `high` hold the true one with 99 % confidence."""
    return {
        "schema": SCHEMA,
        "target": found.board,
        "rounds": found.rounds,
        "precision": found.precision,
        "files": [
            {
                "path": str(runner.artifact.path),
                "sha256": runner.artifact.sha256,
                "latency_ms": runner.latency_ms,
                "latency_source": runner.source,
                "ratio": runner.ratio,
                "low": runner.interval.low if runner.interval else None,
                "high": runner.interval.high if runner.interval else None,
                "verdict": None if runner is found.runners[0] else runner.verdict(found.precision),
            }
            for runner in found.runners
        ],
    }


def show(found: Race, console: Console) -> None:
    """Prints a row a file."""
    first = found.runners[0]
    table = Table("file", "latency", "source", f"against {first.artifact.path.name}", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for runner in found.runners:
        said = "" if runner is first else sentence(runner, found.precision)
        table.add_row(*map(Text, (runner.artifact.path.name, wording.milliseconds(runner.latency_ms), runner.source, said)))
    console.print(table)
    timed = "measured in turn" if any(runner.interval for runner in found.runners) else "the same each time"
    console.print(Text(f"{found.board}: {found.rounds} rounds, {timed}; differences below {found.precision:.0%} don't count"))


def sentence(runner: Runner, precision: float) -> str:
    """The verdict with its figures."""
    faster, bounds = runner.ratio >= 1, runner.interval
    times = runner.ratio if faster else 1 / runner.ratio
    span = sorted((bounds.low, bounds.high) if faster else (1 / bounds.low, 1 / bounds.high)) if bounds else None
    within = f" ({span[0]:.3g} to {span[1]:.3g})" if span else ""
    verdict = runner.verdict(precision)
    if verdict == "no difference shown":
        return f"{verdict}: ratio {times:.3g}{within}"
    return f"{times:.3g} times {verdict}{within}"
