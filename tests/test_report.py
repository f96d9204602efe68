"""The reports: JSON as documented, Markdown and HTML well formed whatever a name holds, the terminal readable in 100 columns."""

import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from compress.report import markdown, page, plot, terminal, wording, write
from compress.report.budgets import verdicts
from compress.report.content import ModelFacts, PassFacts, Report, Row, plain
from targets.base import Layer
from targets.errors import UserError

DOCUMENT = Path(__file__).parent.parent / "docs" / "report.md"
HOSTILE = "<script>alert(1)</script>|`x`\"'>\n# [a](b) $title [red]\x1b[31m"
LAYERS = [dataclasses.asdict(Layer(f"conv{i}", "CONV_2D", macs=1000 * i, cycles=4000 * i)) for i in range(20)]


def report(**changes):
    lost = "no phone is attached; attach one with USB debugging on"
    rows = [
        Row("digits.tflite", "tflite", "host", "measured", 0.9725, 0.03, 0.002, 18344, 0.0123, 0.0141, "measured", original_accuracy=0.98),
        Row("digits.onnx", "onnx", "host", "measured", 0.975, 0.03, 2e-6, 24100, 0.0312, 0.0355, "measured", notes=["one thread"]),
        Row("digits.c", "c", "nano-33-ble", "emulated", 0.97, 0.03, 0.002, 210000, 26.6, 26.6, "estimated", cycles=17000, layers=LAYERS),
        Row("digits.tflite", "tflite", "pixel-8", "not measured", bytes=18344, reason=lost),
    ]
    budgets = {"accuracy_drop": 0.02, "size_kb": 20, "pixel-8": {"latency_ms": 2}}
    facts = {
        "name": "digits",
        "created": "2026-11-20T10:11:12Z",
        "metric": "accuracy",
        "data": {"name": "digits", "training": 1197, "calibration": 200, "evaluation": 400},
        "before": ModelFacts(38442, 1204224, 0.98),
        "after": ModelFacts(9214, 291040, 0.9775),
        "passes": [PassFacts("prune_channels", {"ratio": 0.5}, ["conv1: 16 of 32 channels left"], cached=True)],
        "rows": rows,
        "verdicts": verdicts(budgets, rows, 0.98),
        "environment": {"edgepress": "0.1.0", "torch": "2.13.0"},
        "notes": ["a note"],
    }
    return Report(**(facts | changes))


def hostile_report():
    """Every word that comes from a file, a network or a runtime is hostile."""
    layers = [dataclasses.asdict(Layer(HOSTILE, HOSTILE, macs=5))]
    row = Row(HOSTILE, HOSTILE, HOSTILE, "measured", 0.9, latency_ms=1.0, board=HOSTILE, runner=HOSTILE, notes=[HOSTILE])
    rows = [dataclasses.replace(row, layers=layers), Row(HOSTILE, HOSTILE, HOSTILE, "not measured", reason=HOSTILE)]
    passes = [PassFacts(HOSTILE, {HOSTILE: HOSTILE}, [HOSTILE])]
    found = verdicts({"accuracy_drop": 0.01}, rows, 0.95)
    words = {"name": HOSTILE, "metric": HOSTILE, "data": {"name": HOSTILE}, "environment": {HOSTILE: HOSTILE}, "notes": [HOSTILE]}
    return report(rows=rows, passes=passes, verdicts=found, **words)


def drawn(made):
    """The plot, read as the XML that it must be."""
    return ET.fromstring(plot.plot(made))  # noqa: S314  our own drawing


def documented(title):
    """The keys in the table below a heading of the schema's page."""
    section = re.split(r"^#+ ", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(f"{title}\n")]
    return re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)


def test_json_has_the_documented_keys_and_no_others(tmp_path):
    write(report(), tmp_path)
    content = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert sorted(content) == sorted(documented("Top level"))
    assert sorted(content["model"]) == ["after", "before"]
    for facts in content["model"].values():
        assert list(facts) == documented("Model")
    for key, title in (("passes", "Passes"), ("rows", "Rows"), ("budgets", "Budgets")):
        assert content[key]
        for entry in content[key]:
            assert list(entry) == documented(title)
    assert list(content["rows"][2]["layers"][0]) == documented("Layers")


def test_json_gives_back_what_was_reported(tmp_path):
    write(report(), tmp_path)
    content = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [Row(**row) for row in content["rows"]] == report().rows
    assert content["schema"] == 1
    assert content["model"]["after"] == {"parameters": 9214, "macs": 291040, "accuracy": 0.9775}
    assert content["kept"] is False
    assert [verdict["kept"] for verdict in content["budgets"]] == [True, False, None]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.floats(width=32).map(np.float32) | st.binary(),
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers(), inner),
        max_leaves=10,
    )
)
def test_whatever_a_target_says_becomes_strict_json(value):
    json.dumps(plain(value), allow_nan=False)


def test_infinite_errors_become_null():
    assert Row("a", "tflite", "host", "measured", compression_error=float("inf"), port_error=float("nan")).as_dict()["port_error"] is None


VOID = {"meta", "circle", "path", "line"}


class Checker(HTMLParser):
    """Fails on tags that don't close in order; keeps tags and attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("made", [report(), hostile_report(), report(rows=[], verdicts=[], passes=[])])
def test_html_is_well_formed_and_needs_no_network(made):
    checked = Checker(page.text(made))
    assert checked.tags.count("script") == 1
    for name, value in checked.attributes:
        assert name not in {"src", "href", "onclick", "onload", "onerror"}
        assert "url(" not in (value or "")
        assert not (value or "").startswith("http")


def test_html_holds_every_row_verdict_and_reason():
    text = page.text(report())
    assert text.count('<tr><td class="name" data-value="digits') == 4
    for words in (
        "no phone is attached",
        "1 of 3 budgets missed",
        "1 of 3 budgets not checked",
        "conv1: 16 of 32 channels",
        "calibration 200",
    ):
        assert words in text
    assert "all budgets kept" in page.text(report(verdicts=verdicts({"accuracy_drop": 0.02}, report().rows, 0.98)))


def test_hostile_names_stay_text_in_html():
    text = page.text(hostile_report())
    assert text.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "\x1b" not in text
    drawn(hostile_report())


def test_the_plot_shows_a_point_a_file_and_target_by_source_and_the_original():
    drawing = drawn(report())
    points = [element for element in drawing.iter("g") if element.find("title") is not None]
    assert [point.get("class") for point in points] == ["point measured", "point measured", "point estimated"]
    assert len({point[-1].get("d") or point[-1].tag for point in points}) == 2
    assert "digits.c on nano-33-ble: 97.0 %, 26.6 ms (emulated, latency estimated)" in points[2].findtext("title")
    assert [line for line in drawing.iter("line") if line.get("class") == "original"]
    assert any("original network 98.0 %" in (text.text or "") for text in drawing.iter("text"))


def test_without_accuracy_or_latency_there_is_no_plot():
    assert plot.plot(report(rows=[Row("a", "tflite", "host", "measured", latency_ms=1.0)])) is None


def test_no_axis_promises_more_than_all_samples_right():
    rows = [Row("a", "tflite", "host", "measured", 0.999, latency_ms=1.0)]
    labels = [text.text for text in drawn(report(rows=rows, before=ModelFacts(1, 1, 1.0))).iter("text")]
    assert "100.0 %" in labels
    assert "100.1 %" not in labels


@given(st.lists(st.tuples(st.floats(1e-4, 1e5), st.floats(0, 1)), min_size=1, max_size=12))
def test_points_and_labels_stay_inside_the_drawing(values):
    rows = [Row("a", "tflite", "raspberry-pi-4", "measured", y, latency_ms=x, latency_source="measured") for x, y in values]
    drawing = drawn(report(rows=rows))
    for point in (element for element in drawing.iter("g") if element.find("title") is not None):
        x, y = map(float, re.findall(r"[-\d.]+", point.get("transform")))
        assert plot.LEFT <= x <= plot.WIDTH - plot.RIGHT
        assert plot.TOP <= y <= plot.HEIGHT - plot.BOTTOM
    for label in (element for element in drawing.iter("text") if element.get("class") == "label halo"):
        assert plot.LEFT <= float(label.get("x")) <= plot.WIDTH - plot.RIGHT - plot.LETTER * len(label.text)


def cells(line):
    return len(re.findall(r"(?<!\\)\|", line))


@pytest.mark.parametrize("made", [report(), hostile_report(), report(rows=[], verdicts=[], passes=[])])
def test_markdown_tables_have_as_many_cells_in_every_line(made):
    text = markdown.text(made)
    tables = re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE)
    assert tables
    for table in tables:
        lines = table.strip().split("\n")
        assert re.fullmatch(r"\|( -+:? \|)+", lines[1])
        assert len({cells(line) for line in lines}) == 1


def test_hostile_names_stay_text_in_markdown():
    text = markdown.text(hostile_report())
    assert not re.search(r"(?<!\\)<script", re.sub(r"`[^`\n]*`", "", text))
    assert not re.search(r"^# \[", text, flags=re.MULTILINE)
    assert "\x1b" not in text


def test_markdown_names_what_was_not_measured_and_the_dearest_layers():
    text = markdown.text(report())
    assert "not measured: digits.tflite on pixel-8: no phone is attached; attach one with USB debugging on" in text
    assert "### digits.c on nano-33-ble, the 12 largest of 20 layers\n\n| layer | operator | cycles | share |" in text
    assert re.findall(r"^\| (conv\d+) ", text, flags=re.MULTILINE) == [f"conv{i}" for i in range(19, 7, -1)]


def shown(made, width=100):
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    terminal.show(made, console)
    return console.file.getvalue()


def test_the_terminal_shows_sources_reasons_and_verdicts_in_100_columns():
    text = shown(report())
    assert max(map(len, text.splitlines())) <= 100
    for words in ("digits.tflite", "nano-33-ble", "measured", "emulated", "estimated", "97.0 %", "26.6 ms", "17.9 KB"):
        assert words in text
    for word in ("missed", "kept", "not checked"):
        assert re.search(rf"\b{word}\b", text)
    assert re.search(r"not measured: digits\.tflite on pixel-8: no phone is attached", text)
    assert "1 of 3 budgets could not be checked" in text


def test_hostile_names_drive_no_terminal():
    text = shown(hostile_report())
    assert "\x1b" not in text
    assert "[red]" in text


def test_rows_alone_are_shown_too():
    console = Console(file=io.StringIO(), width=100)
    terminal.show_rows([Row("a.tflite", "tflite", "host", "not measured", reason="no runtime")], console)
    assert console.file.getvalue().strip() == "not measured: a.tflite on host: no runtime"


def test_rows_alone_say_what_ran_them_and_which_notes_are_whose():
    console = Console(file=io.StringIO(), width=100)
    host = Row("a.tflite", "tflite", "host", "measured", runner="LiteRT 2.3, x86_64", notes=("all", "busy"))
    board = Row("a.tflite", "tflite", "pi", "measured", runner="LiteRT 2.3, a board", notes=("all", "hot"))
    terminal.show_rows([host, board], console)
    said = [line.strip() for line in console.file.getvalue().splitlines()[3:]]
    assert said == ["host: by LiteRT 2.3, x86_64", "pi: by LiteRT 2.3, a board", "note: all", "note: host: busy", "note: pi: hot"]


def test_other_metrics_are_no_percentages():
    text = shown(report(metric="mse", before=ModelFacts(1, 1, -0.0123), after=ModelFacts(1, 1, -0.0125)))
    assert "-0.0123 to -0.0125" in text
    assert wording.change(-0.0002, "mse") == "-0.0002"


def test_a_folder_that_cannot_be_written_leaves_nothing_half_written(tmp_path):
    with pytest.raises(UserError, match=r"report\.json: can't be written: No such file"):
        write(report(), tmp_path / "none")
    (tmp_path / "report.md").mkdir()
    with pytest.raises(UserError, match=r"report\.md: can't be written"):
        write(report(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "report.md"]
