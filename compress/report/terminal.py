"""The report for a terminal: results, what was not measured and why, budgets."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compress.report import wording
from compress.report.columns import Column, columns
from compress.report.content import Report, Row, Verdict

SHOWN = ("file", "target", "source", "accuracy", "port_error", "size", "latency", "ram", "flash")
"""What fits beside each other in 100 columns, and energy where it was measured; the files have the rest."""

STYLES = {"measured": "green", "emulated": "cyan", "estimated": "yellow", "kept": "green", "missed": "bold red", "not checked": "yellow"}


def show(report: Report, console: Console) -> None:
    """Prints the report: the network before and after, a row a file and target, what was not measured, and the budgets."""
    console.print(Text(wording.one_line(report.name), style="bold"))
    for line in _model(report):
        console.print(Text(line))
    console.print()
    _show_table(report.rows, console, report.metric)
    if report.verdicts:
        console.print()
        show_budgets(report.verdicts, console)


def show_rows(rows: Sequence[Row], console: Console, metric: str = "accuracy") -> None:
    """Prints a row for each file and target, and below them what was not measured, what ran the others, and their notes.

    A note that not all rows have says which has it.
    """
    _show_table(rows, console, metric)
    measured = [row for row in rows if row.measured]
    for row in measured:
        if row.runner:
            show_line(console, row.target, "dim", f"by {row.runner}")
    for note in dict.fromkeys(note for row in measured for note in row.notes):
        owners = [row.target for row in measured if note in row.notes]
        show_line(console, "note", "dim", note if len(owners) == len(measured) else f"{', '.join(owners)}: {note}")


def _show_table(rows: Sequence[Row], console: Console, metric: str) -> None:
    measured = [row for row in rows if row.measured]
    wanted = {*SHOWN, "energy"} if any(row.energy_source == "measured" for row in measured) else SHOWN
    shown = [column for column in columns(measured, metric) if column.key in wanted]
    if measured:
        table = _table([(column.title, column.numeric) for column in shown])
        for row in measured:
            table.add_row(*(_result(row, column) for column in shown))
        console.print(table)
    for row in rows:
        if not row.measured:
            show_line(console, "not measured", "yellow", f"{row.artifact} on {row.target}: {row.reason}")


def _result(row: Row, column: Column) -> Text:
    """A figure; beside it the word for where it comes from: the row's, and the latency's or energy's where that is another."""
    if column.key == "source":
        return _cell(row.source, STYLES.get(row.source, ""))
    cell = _cell(column.text(row))
    source = {"latency": row.latency_source, "energy": row.energy_source}.get(column.key)
    if source and source != row.source:
        cell.append(f"\n{source}", STYLES.get(source, ""))
    return cell


def _model(report: Report) -> Iterable[str]:
    before, after = report.before, report.after
    yield f"parameters  {before.parameters:,} to {after.parameters:,} ({wording.times_smaller(before.parameters, after.parameters)})"
    yield f"MACs        {before.macs:,} to {after.macs:,} ({wording.times_smaller(before.macs, after.macs)})"
    values = [wording.metric_value(facts.accuracy, report.metric) for facts in (before, after)]
    samples = report.data.get("evaluation")
    yield f"{wording.one_line(report.metric):<11} {values[0]} to {values[1]} in torch, {samples} evaluation samples"


def show_budgets(verdicts: Sequence[Verdict], console: Console) -> None:
    """Prints a row for each budget, and how many are missed or could not be checked."""
    table = _table([("budget", False), ("for", False), ("limit", True), ("verdict", False), ("because", False)])
    for verdict in verdicts:
        word = wording.verdict_word(verdict.kept)
        target = verdict.target or "every file"
        table.add_row(_cell(verdict.budget), _cell(target), f"{verdict.limit:g}", _cell(word, STYLES[word]), _cell(verdict.why))
    console.print(table)
    missed = sum(verdict.kept is False for verdict in verdicts)
    unchecked = sum(verdict.kept is None for verdict in verdicts)
    if unchecked:
        console.print(Text(f"{unchecked} of {len(verdicts)} budgets could not be checked", style="bold yellow"))
    if missed:
        console.print(Text(f"{missed} of {len(verdicts)} budgets missed", style="bold red"))


def show_line(console: Console, word: str, style: str, text: str) -> None:
    """A word and a text that hangs beside it."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(f"{word}:", style=style), _cell(text))
    console.print(grid)


def _table(titles: Sequence[tuple[str, bool]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for title, number in titles:
        table.add_column(_cell(title), justify="right" if number else "left", overflow="fold", no_wrap=number)
    return table


def _cell(text: str, style: str = "") -> Text:
    """Text that stays text: no markup, no control characters."""
    return Text(wording.one_line(text), style=style)
