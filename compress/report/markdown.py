"""report.md: the whole report as GitHub-flavoured Markdown."""

import json
import re
from collections.abc import Iterable, Sequence

from compress.report import wording
from compress.report.columns import columns
from compress.report.content import Report, Row, Verdict
from compress.report.layers import costs

SPECIAL = re.compile(r"([\\`*_\[\]<>|~#&])")
LONGEST = 12


def text(report: Report) -> str:
    """The report as one Markdown text."""
    parts = [f"# {escape(report.name)}", _opening(report), *_budgets(report), *_results(report), *_passes(report), *_layers(report)]
    return "\n\n".join([*parts, *_circumstances(report)]) + "\n"


def escape(text: object) -> str:
    """Text that stays text: names in a network or a file can't make markup or leave their cell."""
    return SPECIAL.sub(r"\\\1", wording.one_line(text))


def table(titles: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool] = ()) -> str:
    """A table of escaped cells; `right` says which columns are numbers."""
    marks = ["---:" if number else "---" for number in (right or [False] * len(titles))]
    lines = [titles, marks, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _opening(report: Report) -> str:
    before, after = report.before, report.after
    facts = [
        ("parameters", f"{before.parameters:,}", f"{after.parameters:,}", wording.times_smaller(before.parameters, after.parameters)),
        ("MACs", f"{before.macs:,}", f"{after.macs:,}", wording.times_smaller(before.macs, after.macs)),
        (
            f"{escape(report.metric)} in torch",
            wording.metric_value(before.accuracy, report.metric),
            wording.metric_value(after.accuracy, report.metric),
            _changed(report),
        ),
    ]
    return table(["network", "as it came", "compressed", "change"], facts, [False, True, True, False])


def _changed(report: Report) -> str:
    if report.before.accuracy is None or report.after.accuracy is None:
        return wording.NOTHING
    return wording.change(report.after.accuracy - report.before.accuracy, report.metric)


def _budgets(report: Report) -> list[str]:
    if not report.verdicts:
        return []
    titles = ["budget", "for", "limit", "verdict", "because"]
    return ["## Budgets", table(titles, map(_verdict, report.verdicts), [False, False, True, False, False])]


def _verdict(verdict: Verdict) -> list[str]:
    target = escape(verdict.target or "every file")
    return [escape(verdict.budget), target, f"{verdict.limit:g}", f"**{wording.verdict_word(verdict.kept)}**", escape(verdict.why)]


def _results(report: Report) -> list[str]:
    measured = [row for row in report.rows if row.measured]
    shown = columns(measured, report.metric, report.before.accuracy)
    parts = ["## Results"]
    if measured:
        cells = [[escape(column.text(row)) for column in shown] for row in measured]
        parts.append(table([escape(column.title) for column in shown], cells, [column.numeric for column in shown]))
    lines = [f"- not measured: {_where(row)}: {escape(row.reason)}" for row in report.rows if not row.measured]
    lines += [f"- {_where(row)}: {escape(note)}" for row in measured for note in row.notes]
    return [*parts, *(["\n".join(lines)] if lines else [])]


def _where(row: Row) -> str:
    return f"{escape(row.artifact)} on {escape(row.target)}"


def _passes(report: Report) -> list[str]:
    parts = ["## Passes"] if report.passes else []
    for number, step in enumerate(report.passes, 1):
        options = f" `{_code(json.dumps(step.options, default=str))}`" if step.options else ""
        cached = " (kept from an earlier run)" if step.cached else ""
        parts.append("\n".join([f"{number}. **{escape(step.name)}**{options}{cached}", *(f"   - {escape(line)}" for line in step.lines)]))
    return parts


def _layers(report: Report) -> list[str]:
    parts = ["## Where the time goes"] if any(costs(row) for row in report.rows) else []
    for row in report.rows:
        cost = costs(row)
        if cost is None:
            continue
        cells = [
            [escape(row.layers[i].get("name")), escape(row.layers[i].get("operator")), cost.say(i), cost.share(i)]
            for i in cost.largest(LONGEST)
        ]
        more = f", the {LONGEST} largest of {len(row.layers)} layers" if len(row.layers) > LONGEST else ""
        parts.append(f"### {_where(row)}{more}")
        parts.append(table(["layer", "operator", cost.title, "share"], cells, [False, False, True, True]))
    return parts


def _circumstances(report: Report) -> list[str]:
    data = ", ".join(f"{escape(key)} {escape(value)}" for key, value in report.data.items() if key != "name")
    versions = ", ".join(f"{escape(key)} {escape(value)}" for key, value in report.environment.items())
    runners = sorted({f"{escape(row.target)}: {escape(row.runner)}" for row in report.rows if row.runner and row.measured})
    lines = [f"- Data: {escape(report.data.get('name', ''))} (samples: {data})", *(f"- {runner}" for runner in runners)]
    lines += [f"- Versions: {versions}", f"- Made {escape(report.created)}", *(f"- {escape(note)}" for note in report.notes)]
    return ["## Circumstances", "\n".join(lines)]


def _code(text: str) -> str:
    return wording.one_line(text).replace("`", "'")
