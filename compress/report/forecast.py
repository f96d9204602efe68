"""What `edgepress forecast` prints: a block of rows for each version of the network, then what won't pay, then budgets."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compress.forecasting.findings import Forecast, Version
from compress.report import terminal, wording
from compress.report.content import Row

SCHEMA = 1
AS_IT_COMES = "as it comes"
ACCURACY = "not measured: only training tells it; edgepress run"
STAND_IN = "measured, emulated and estimated latencies are of the very files that a run would write, with weights that are not trained"


def as_dict(found: Forecast) -> dict[str, Any]:
    """For programs: a version has MACs and parameters, a row the figures of one file on one target, each figure the word it comes from."""
    return {
        "schema": SCHEMA,
        "name": found.name,
        "versions": [_version(found, version) for version in found.versions],
        "untrained": list(found.untrained),
        "accuracy": None,
        "accuracy_source": ACCURACY,
        "warnings": list(found.warnings),
        "budgets": [vars(verdict) for verdict in found.verdicts],
        "works": found.works,
        "seconds": round(found.seconds, 1),
    }


def _version(found: Forecast, version: Version) -> dict[str, Any]:
    counted = _word(found, version, "counted")
    return {
        "passes": list(version.passes),
        "macs": version.macs,
        "macs_source": counted,
        "parameters": version.parameters,
        "parameters_source": counted,
        "rows": [_row(row, _word(found, version, "measured")) for row in version.rows],
    }


def _row(row: Row, size_source: str) -> dict[str, Any]:
    return {
        "artifact": row.artifact,
        "format": row.format,
        "target": row.target,
        "bytes": row.bytes,
        "bytes_source": None if row.bytes is None else size_source,
        "zipped_bytes": row.zipped_bytes,
        "latency_ms": row.latency_ms,
        "latency_source": row.latency_source,
        "ram_bytes": row.ram_bytes,
        "flash_bytes": row.flash_bytes,
        "source": row.source,
        "reason": row.reason,
    }


def _word(found: Forecast, version: Version, certain: str) -> str:
    """A structure that hangs on samples and weights makes estimates of what follows from it."""
    return "estimated" if found.other_macs is not None and version is found.versions[-1] else certain


def show(found: Forecast, console: Console) -> None:
    """Prints all of it."""
    console.print(Text(wording.one_line(found.name), style="bold"))
    console.print(_table(found))
    for row in dict.fromkeys((row.target, row.reason) for row in found.versions[-1].rows if row.reason):
        terminal.show_line(console, "not measured", "yellow", f"{row[0]}: {row[1]}")
    terminal.show_line(console, "accuracy", "dim", ACCURACY)
    if found.untrained:
        terminal.show_line(console, "not trained", "dim", f"{', '.join(found.untrained)}; {STAND_IN}")
    if found.other_macs is not None:
        text = (
            f"MACs, parameters and sizes of the last rows: {found.versions[-1].macs:,} MACs now, "
            f"{found.other_macs:,} with other samples and weights"
        )
        terminal.show_line(console, "estimated", "yellow", text)
    for warning in found.warnings:
        terminal.show_line(console, "won't pay" if warning not in found.versions[-1].blocked else "won't work", "bold yellow", warning)
    if found.verdicts:
        console.print()
        terminal.show_budgets(found.verdicts, console)
    console.print(Text(f"took {found.seconds:.0f} s", style="dim"))


def _table(found: Forecast) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for title, right in (("passes", False), ("MACs", True), ("parameters", True), ("file", False), ("target", False)):
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    for title in ("size", "latency", "RAM", "flash"):
        table.add_column(title, justify="right", no_wrap=True)
    for version in found.versions:
        about = "\n+ ".join(version.passes) or AS_IT_COMES
        head = [Text(about), Text(wording.count(version.macs)), Text(wording.count(version.parameters))]
        for row in version.rows:
            table.add_row(*head, *_cells(row))
            head = [Text(), Text(), Text()]
    return table


def _cells(row: Row) -> list[Text]:
    size = wording.size(None if row.format == "c" else row.bytes)
    latency, ram = Text(wording.milliseconds(row.latency_ms)), Text(wording.size(row.ram_bytes))
    if row.latency_source:
        latency.append(f"\n{row.latency_source}", terminal.STYLES.get(row.latency_source, ""))
    if row.ram_bytes is not None:
        ram.append(f"\n{row.source}", terminal.STYLES.get(row.source, ""))
    return [Text(row.format or wording.NOTHING), Text(row.target), Text(size), latency, ram, Text(wording.size(row.flash_bytes))]
