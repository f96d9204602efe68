"""report.html: the whole report in one file that needs no network. Every word from a file or a runtime is escaped."""

import html
import json
from collections.abc import Iterable
from pathlib import Path
from string import Template

from compress.report import wording
from compress.report.columns import Column, columns, source
from compress.report.content import PassFacts, Report, Row, Verdict
from compress.report.layers import Costs, costs
from compress.report.memory_plan import memory_plan
from compress.report.plot import plot

TEMPLATE = Path(__file__).parent / "page.html"
FEW_LINES = 8


def text(report: Report) -> str:
    """The page."""
    parts = [_header(report), _tiles(report), _budgets(report), _plot(report), _results(report), _passes(report), _layers(report)]
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(title=escape(f"{report.name} - edgepress"), body="\n".join([*filter(None, parts), _circumstances(report)]))


def escape(value: object) -> str:
    """Text that stays text, in content and in attributes."""
    return html.escape(wording.one_line(value))


def _element(tag: str, *content: str, kind: str = "") -> str:
    """An element around markup; `kind` is its class."""
    opening = f'<{tag} class="{kind}">' if kind else f"<{tag}>"
    return f"{opening}{''.join(content)}</{tag}>"


def _badge(word: str, kind: str = "") -> str:
    """A word on a coloured ground; `kind` chooses the colour."""
    return _element("span", escape(word), kind=f"badge {kind}")


def _section(title: str, *content: str) -> str:
    return _element("section", _element("h2", escape(title)), *content)


def _header(report: Report) -> str:
    missed = sum(verdict.kept is False for verdict in report.verdicts)
    open_ones = sum(verdict.kept is None for verdict in report.verdicts)
    badges = []
    if missed:
        badges.append(_badge(f"{missed} of {len(report.verdicts)} budgets missed", "missed"))
    if open_ones:
        badges.append(_badge(f"{open_ones} of {len(report.verdicts)} budgets not checked", "unchecked"))
    if report.verdicts and not badges:
        badges.append(_badge("all budgets kept", "kept"))
    version = report.environment.get("edgepress", "")
    return f"<header><h1>{escape(report.name)}</h1>{' '.join(badges)}<p>edgepress {escape(version)}, {escape(report.created)}</p></header>"


def _tiles(report: Report) -> str:
    before, after, metric = report.before, report.after, report.metric
    values = [wording.metric_value(facts.accuracy, metric) for facts in (before, after)]
    tiles = [
        (f"{metric} in torch", values[1], f"{values[0]} as it came"),
        (
            "parameters",
            f"{after.parameters:,}",
            f"{before.parameters:,} as it came, {wording.times_smaller(before.parameters, after.parameters)}",
        ),
        ("MACs", wording.count(after.macs), f"{wording.count(before.macs)} as it came, {wording.times_smaller(before.macs, after.macs)}"),
    ]
    smallest = min((row for row in report.rows if row.bytes and row.format != "c"), key=lambda row: row.bytes or 0, default=None)
    if smallest:
        tiles.append(("smallest file", wording.size(smallest.bytes), smallest.artifact))
    return _element("div", *(_tile(*tile) for tile in tiles), kind="tiles")


def _tile(title: str, value: str, more: str) -> str:
    return _element("div", _element("h3", escape(title)), _element("strong", escape(value)), _element("span", escape(more)), kind="tile")


def _table(heads: Iterable[tuple[str, bool]], rows: Iterable[str]) -> str:
    head = (_element("th", escape(title), kind="number" if number else "") for title, number in heads)
    return _scrolling(_element("table", _element("thead", _element("tr", *head)), _element("tbody", *rows)))


def _scrolling(content: str) -> str:
    return _element("div", content, kind="scroll")


def _budgets(report: Report) -> str:
    heads = [("budget", False), ("for", False), ("limit", True), ("verdict", False), ("because", False)]
    return _section("Budgets", _table(heads, map(_verdict, report.verdicts))) if report.verdicts else ""


def _verdict(verdict: Verdict) -> str:
    word = wording.verdict_word(verdict.kept)
    badge = _badge(word, "unchecked" if verdict.kept is None else word)
    names = _element("td", escape(verdict.budget)), _element("td", escape(verdict.target or "every file"), kind="target")
    limit = _element("td", f"{verdict.limit:g}", kind="number")
    return _element("tr", *names, limit, _element("td", badge), _element("td", escape(verdict.why), kind="why"))


def _plot(report: Report) -> str:
    drawing = plot(report)
    return _section(f"{report.metric} against latency", _scrolling(drawing)) if drawing else ""


def _results(report: Report) -> str:
    found = columns([row for row in report.rows if row.measured], report.metric, report.before.accuracy) or columns(report.rows)[:3]
    shown = [column for column in found if column.key != "latency_p90"]
    head = map(_head, shown)
    body = _element("tbody", *(_result(row, shown) for row in report.rows))
    table = _element("table", _element("thead", _element("tr", *head)), body, kind="sortable")
    notes = [_element("li", escape(f"{row.artifact} on {row.target}: {note}")) for row in report.rows for note in row.notes]
    return _section("Results", _scrolling(table), _element("ul", *notes) if notes else "")


def _head(column: Column) -> str:
    kind = "number" if column.numeric else column.key
    return f'<th class="{kind}" title="{escape(column.meaning)}">{_element("button", escape(column.title))}</th>'


def _result(row: Row, shown: list[Column]) -> str:
    if row.measured:
        return _element("tr", *(_cell(row, column) for column in shown))
    reason = f'<td class="reason" colspan="{max(1, len(shown) - 3)}">{_element("p", escape(row.reason))}</td>'
    return _element("tr", *(_cell(row, column) for column in shown[:3]), reason)


def _cell(row: Row, column: Column) -> str:
    value = column.value(row)
    kind = "number" if column.numeric else "name" if column.key == "file" else column.key
    inner = escape(column.text(row))
    if column.key == "source":
        inner = _badge(row.source, row.source if row.measured else "")
    elif column.key == "latency":
        inner += _latency_notes(row)
    elif column.key == "energy" and row.energy_source not in (None, row.source):
        inner += _element("span", escape(row.energy_source), kind="also")
    elif column.key == "target" and row.board and row.board != row.target:
        inner += _element("span", escape(row.board), kind="also")
    return f'<td class="{kind}" data-value="{"" if value is None else escape(value)}">{inner}</td>'


def _latency_notes(row: Row) -> str:
    notes: list[str | None] = [row.latency_source] if row.latency_source != row.source else []
    if row.latency_p90_ms not in (None, row.latency_ms):
        notes.append(f"p90 {wording.milliseconds(row.latency_p90_ms)}")
    if row.latency_p99_ms is not None:
        notes.append(f"p99 {wording.milliseconds(row.latency_p99_ms)}")
    notes.append(wording.precision(row.latency_ms, row.latency_low_ms, row.latency_high_ms))
    return "".join(_element("span", escape(note), kind="also") for note in notes if note)


def _passes(report: Report) -> str:
    return _section("What each pass did", *map(_pass, report.passes)) if report.passes else ""


def _pass(step: PassFacts) -> str:
    options = f" {_element('code', escape(json.dumps(step.options, default=str)))}" if step.options else ""
    cached = f" {_badge('kept from an earlier run')}" if step.cached else ""
    lines = _element("ul", *(_element("li", escape(line)) for line in step.lines)) if step.lines else ""
    shown = " open" if len(step.lines) <= FEW_LINES else ""
    return f"<details{shown}>{_element('summary', escape(step.name), options, cached)}{lines}</details>"


def _layers(report: Report) -> str:
    parts = [_row_layers(row, cost) for row in report.rows if (cost := costs(row))]
    return _section("Layer by layer", *parts) if parts else ""


def _row_layers(row: Row, cost: Costs) -> str:
    dearest = cost.largest(1)[0]
    most = f"{len(row.layers)} layers by {cost.title}, most in {row.layers[dearest].get('name')} ({cost.share(dearest)})"
    story = _element("span", escape(f"{most}, {source(row)}"), kind="soft")
    heads = [("#", True), ("layer", False), ("operator", False), (cost.title, True), ("share", True), ("", False)]
    table = _table(heads, (_layer(i, layer, cost) for i, layer in enumerate(row.layers)))
    drawing = memory_plan(row)
    plan = _element("h3", "Memory plan") + _scrolling(drawing) if drawing else ""
    return _element("details", _element("summary", escape(f"{row.artifact} on {row.target}"), " ", story), table, plan)


def _layer(number: int, layer: dict[str, object], cost: Costs) -> str:
    width = 100 * cost.values[number] / max(cost.values)
    cells = [
        _element("td", str(number), kind="number"),
        _element("td", escape(layer.get("name")), kind="name"),
        _element("td", escape(layer.get("operator"))),
        _element("td", escape(cost.say(number)), kind="number"),
        _element("td", cost.share(number), kind="number"),
        _element("td", f'<i style="width:{width:.1f}%"></i>' if width else "", kind="bar"),
    ]
    return _element("tr", *cells)


def _circumstances(report: Report) -> str:
    facts = [("data", ", ".join(str(value) if key == "name" else f"{key} {value}" for key, value in report.data.items()))]
    facts += sorted({(f"run by, on {row.target}", row.runner) for row in report.rows if row.runner and row.measured})
    facts += [("made", report.created), ("versions", ", ".join(f"{name} {version}" for name, version in report.environment.items()))]
    facts += [("note", note) for note in report.notes]
    pairs = (_element("dt", escape(name)) + _element("dd", escape(value)) for name, value in facts)
    return _section("Circumstances", _element("dl", *pairs))
