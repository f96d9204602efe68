"""The accuracy-latency plot as SVG: a point for each file and target, latency logarithmic, the original network's accuracy as a line."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from compress.report import wording
from compress.report.columns import source
from compress.report.content import Report, Row

WIDTH, HEIGHT = 1040, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 24, 40, 52
LETTER, LINE = 6.4, 15
"""Width and height that a letter of a label takes, in the drawing's units."""

SHAPES = {
    "measured": '<circle r="6"/>',
    "emulated": '<path d="M0-8L8 0 0 8-8 0Z"/>',
    "estimated": '<path d="M0-8L8 6H-8Z"/>',
}


@dataclass(frozen=True)
class Axis:
    """A range of values laid onto a range of the drawing, with the values that are marked."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    scale: Callable[[float], float] = float

    def place(self, value: float) -> float:
        """Where a value lies."""
        part = (self.scale(value) - self.scale(self.low)) / (self.scale(self.high) - self.scale(self.low))
        return round(self.start + part * (self.end - self.start), 1)


@dataclass(frozen=True)
class Box:
    """A rectangle that something takes."""

    x: float
    y: float
    width: float
    height: float

    def meets(self, other: "Box") -> bool:
        """Whether two rectangles overlap."""
        apart = self.x + self.width < other.x or other.x + other.width < self.x
        return not (apart or self.y + self.height < other.y or other.y + other.height < self.y)


def plot(report: Report) -> str | None:
    """The drawing; None where no row has both an accuracy and a latency."""
    rows = [row for row in report.rows if row.accuracy is not None and row.latency_ms and _kind(row) in SHAPES]
    if not rows:
        return None
    x = latency_axis([row.latency_ms or 0 for row in rows])
    values = [row.accuracy for row in rows if row.accuracy is not None]
    if report.before.accuracy is not None:
        values.append(report.before.accuracy)
    y = value_axis(values, 1.0 if report.metric == "accuracy" else None)
    parts = [*_grid(x, y, report.metric), *_original(report, y), *_points(rows, x, y, report.metric), *_key(rows)]
    name = escape(f"{wording.one_line(report.metric)} against latency of {len(rows)} files and targets")
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">{"".join(parts)}</svg>'


def latency_axis(latencies: Sequence[float]) -> Axis:
    """A logarithmic axis that leaves some room at both sides; marked at 1, 2 and 5 times powers of ten, or at the powers alone."""
    low, high = min(latencies) / 1.8, max(latencies) * 2.2
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**power for power in powers for step in (1, 2, 5) if low <= step * 10.0**power <= high]
    if len(ticks) > 9:
        ticks = [10.0**power for power in powers if low <= 10.0**power <= high]
    return Axis(low, high, LEFT, WIDTH - RIGHT, tuple(ticks), math.log10)


def value_axis(values: Sequence[float], highest: float | None = None) -> Axis:
    """A linear axis around the values, marked at round numbers; it ends at `highest`, if no value can be above."""
    spread = max(max(values) - min(values), 0.01 * max(abs(max(values)), 1e-9))
    rough = spread / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.floor((min(values) - 0.15 * spread) / step)
    last = math.ceil((max(values) + 0.15 * spread) / step)
    if highest is not None:
        last = min(last, round(highest / step))
    return Axis(first * step, last * step, HEIGHT - BOTTOM, TOP, tuple(i * step for i in range(first, last + 1)))


def _grid(x: Axis, y: Axis, metric: str) -> list[str]:
    parts = []
    for tick in y.ticks:
        at = y.place(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{LEFT - 10}" y="{at + 4}" text-anchor="end">{escape(wording.metric_value(tick, metric))}</text>')
    for tick in x.ticks:
        at = x.place(tick)
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{at}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{wording.milliseconds(tick)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">latency of one inference (p50, logarithmic)</text>')
    return parts


def _original(report: Report, y: Axis) -> list[str]:
    if report.before.accuracy is None:
        return []
    at = y.place(report.before.accuracy)
    label = f"original network {wording.metric_value(report.before.accuracy, report.metric)}"
    return [
        f'<line class="original" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>',
        f'<text class="halo" x="{WIDTH - RIGHT}" y="{at - 6}" text-anchor="end">{escape(label)}</text>',
    ]


def _points(rows: Sequence[Row], x: Axis, y: Axis, metric: str) -> list[str]:
    targets = list(dict.fromkeys(row.target for row in rows))
    places = [(x.place(row.latency_ms or 0), y.place(row.accuracy or 0)) for row in rows]
    taken = [Box(px - 8, py - 8, 16, 16) for px, py in places]
    leads, labels, points = [], [], []
    for row, (px, py) in zip(rows, places, strict=True):
        text = wording.one_line(f"{row.format} on {row.target}")
        box = _free_place(px, py, LETTER * len(text), taken)
        taken.append(box)
        if abs(box.y + LINE / 2 - py) > LINE:
            edge = box.x if box.x > px else box.x + box.width
            leads.append(f'<line class="lead" x1="{px}" y1="{py}" x2="{edge:.1f}" y2="{box.y + LINE / 2:.1f}"/>')
        labels.append(f'<text class="label halo" x="{box.x:.1f}" y="{box.y + 11:.1f}">{escape(text)}</text>')
        colour = f"var(--series-{targets.index(row.target) % 6})"
        points.append(
            f'<g class="point {_kind(row)}" transform="translate({px} {py})" style="stroke:{colour};color:{colour}"'
            f"{_fill(row, colour)}><title>{escape(_story(row, metric))}</title>{SHAPES[_kind(row)]}</g>"
        )
    return [*leads, *labels, *points]


def _free_place(x: float, y: float, width: float, taken: Sequence[Box]) -> Box:
    """Where a label stands: beside its point, or further up or down until it meets nothing; else beside it all the same."""
    places = [
        Box(left, y + step * LINE - LINE / 2, width, LINE)
        for step in (0, -1, 1, -2, 2, -3, 3, -4, 4)
        for left in ((x + 13, x - 13 - width) if abs(step) != 1 else (x + 13, x - 13 - width, x - width / 2))
    ]
    inside = [box for box in places if box.x > LEFT and box.x + width < WIDTH - RIGHT and TOP - LINE < box.y < HEIGHT - BOTTOM - LINE]
    return next((box for box in inside if not any(box.meets(other) for other in taken)), (inside or places)[0])


def _kind(row: Row) -> str:
    """The source that decides a point's shape: that of its latency."""
    return row.latency_source or row.source


def _fill(row: Row, colour: str) -> str:
    return f' fill="{colour}"' if _kind(row) == "measured" else ""


def _story(row: Row, metric: str) -> str:
    value, latency = wording.metric_value(row.accuracy, metric), wording.milliseconds(row.latency_ms)
    return wording.one_line(f"{row.artifact} on {row.target}: {value}, {latency} ({source(row)}), {wording.size(row.bytes)}")


def _key(rows: Sequence[Row]) -> list[str]:
    """What the shapes mean."""
    parts, at = [], float(LEFT)
    for kind, shape in SHAPES.items():
        if any(_kind(row) == kind for row in rows):
            fill = ' fill="currentColor"' if kind == "measured" else ""
            words = f"latency {kind}"
            parts.append(
                f'<g class="point key {kind}" transform="translate({at + 8} 16) scale(.85)" stroke="currentColor"{fill}>{shape}</g>'
            )
            parts.append(f'<text x="{at + 22}" y="20">{words}</text>')
            at += 40 + LETTER * len(words)
    return parts
