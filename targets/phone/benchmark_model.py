"""Reads what LiteRT's `benchmark_model` prints (tflite/tools/benchmark, from 2019 on; its profile by StatsCalculator's format)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from targets.base import Layer

NUMBER = r"([\d.]+(?:e[+-]?\d+)?)"
TIMINGS = re.compile(
    rf"Inference timings in us: Init: {NUMBER}, First inference: {NUMBER}, Warmup \(avg\): {NUMBER}, Inference \(avg\): {NUMBER}"
)
STATISTICS = re.compile(r"count=\d+ [^\n]*")
MEMORY = re.compile(rf"emory footprint[^\n]*\(MB\): init={NUMBER} overall={NUMBER}")
DELEGATED = re.compile(r"(?:Explicitly applied|Though)[^\n]*delegate[^\n]*")
COMPLAINT = re.compile(r"(?:ERROR|Error|FATAL|Failed|failed|Aborted|not found|No such file|not executable)")
MILD = re.compile(r"\b(?:INFO|WARNING|VERBOSE):")
REGULAR = "Operator-wise Profiling Info for Regular Benchmark Runs:"
NODE_NAME = re.compile(r"\[(.*)\]:\d+")
DELEGATE_NODE_NAME = re.compile(r"Delegate/(.*):\d+")


@dataclass(frozen=True)
class Result:
    """One run: milliseconds, bytes, and the profile where it was asked for."""

    p50_ms: float
    p90_ms: float
    repetitions: int
    init_ms: float
    first_ms: float
    ram_bytes: int | None
    layers: tuple[Layer, ...]
    notes: tuple[str, ...]


def parse(text: str) -> Result | None:
    """What a run printed, with or without log prefixes; None where it did not come to its end."""
    text = text.replace("\r", "")
    timings = TIMINGS.search(text)
    if timings is None:
        return None
    init, first, _, mean = (float(number) / 1000 for number in timings.groups())
    found = STATISTICS.findall(text, 0, timings.start())
    statistics = dict(re.findall(rf"(\w+)={NUMBER}", found[-1])) if found else {}
    p50, p90, note = _percentiles(statistics, mean)
    memory = MEMORY.search(text)
    return Result(
        p50_ms=p50,
        p90_ms=p90,
        repetitions=int(statistics.get("count", 1)),
        init_ms=init,
        first_ms=first,
        ram_bytes=int(float(memory[2]) * 2**20) if memory else None,
        layers=tuple(_layers(text)),
        notes=(note, *(line.strip() for line in DELEGATED.findall(text))),
    )


def complaint(text: str) -> str | None:
    """The first line marked as an error, else the last one that reads like one and is not marked as less than that."""
    lines = [line.strip() for line in text.splitlines() if COMPLAINT.search(line) and not MILD.search(line)]
    marked = [line for line in lines if "ERROR" in line]
    found = marked or lines[-1:]
    return found[0] if found else None


def _percentiles(statistics: dict[str, str], mean: float) -> tuple[float, float, str]:
    if "median" in statistics and "p95" in statistics:
        note = "latency p90: benchmark_model prints the 95th percentile, which is given instead"
        return float(statistics["median"]) / 1000, float(statistics["p95"]) / 1000, note
    note = "latency: this benchmark_model prints no percentiles; p50 is the mean and p90 the longest time"
    return mean, float(statistics.get("max", mean * 1000)) / 1000, note


def _layers(text: str) -> Iterator[Layer]:
    """The operators in the order they ran; where a delegate tells its own, those instead of the delegate's one node."""
    profile = text.partition(REGULAR)[2]
    graph, _, inside = profile.partition("Delegate internal:")
    told = list(_rows(inside))
    for name, operator, milliseconds in _rows(graph):
        if not (told and operator.startswith("TfLite")):
            yield Layer(_plain(name), operator, latency_ms=milliseconds)
    for name, _, milliseconds in told:
        inner = DELEGATE_NODE_NAME.fullmatch(name)
        yield Layer(name, inner[1] if inner else name, latency_ms=milliseconds)


def _plain(name: str) -> str:
    """A node's name without brackets and number."""
    found = NODE_NAME.fullmatch(name)
    return found[1] if found else name


def _rows(section: str) -> Iterator[tuple[str, str, float]]:
    """Name, operator and mean milliseconds of each row of a section's tables in run order; columns are found by their headings."""
    for table in section.split("Run Order")[1:]:
        headings, *rows = map(_cells, table.partition("\n\n")[0].splitlines()[1:])
        for cells in rows:
            row = dict(zip(headings, cells, strict=False))
            yield row["[Name]"], row["[node type]"], float(row["[avg ms]"])


def _cells(line: str) -> list[str]:
    """A row's cells; every cell begins with a tab, and nothing but a log's prefix stands before the first."""
    return [cell.strip() for cell in line.split("\t")[1:]]
