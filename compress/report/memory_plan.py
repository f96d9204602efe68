"""What lies where in a microcontroller's arena, drawn as SVG: layers from left to right, the arena's bytes from top to bottom."""

from collections.abc import Sequence
from html import escape
from typing import Any

from compress.report import wording
from compress.report.content import Row

WIDTH, LEFT, RIGHT, TOP = 1040, 80, 10, 10
HEIGHT, BOTTOM = 300, 40
TICKS = 4
LETTER, LINE = 6.6, 16
"""Width and height that a letter of a label takes, in the drawing's units."""


def memory_plan(row: Row) -> str | None:
    """The drawing, None where the row tells no plan: a box for each tensor while it is needed; those that overlap work in place."""
    places = row.details.get("memory_plan")
    if not places:
        return None
    layers, arena = len(row.layers) - 1, max(place["offset"] + place["bytes"] for place in places)  # the last row is the runtime's
    layers = max(layers, *(place["last"] + 1 for place in places))
    parts = [*_grid(layers, arena), *_stripes(row.details.get("stripes"), layers), *(_box(place, layers, arena) for place in places)]
    name = f"memory plan: {len(places)} tensors in an arena of {arena:,} bytes over {layers} layers"
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">{"".join(parts)}</svg>'


def _x(layer: float, layers: int) -> float:
    return round(LEFT + layer / layers * (WIDTH - LEFT - RIGHT), 1)


def _y(offset: float, arena: int) -> float:
    return round(TOP + offset / arena * (HEIGHT - TOP - BOTTOM), 1)


def _grid(layers: int, arena: int) -> Sequence[str]:
    parts = []
    for tick in range(TICKS + 1):
        at, offset = _y(arena * tick / TICKS, arena), arena * tick // TICKS
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4}" text-anchor="end">{offset:,}</text>')
    step = -(-layers // 20)
    parts += [_text(_x(layer + 0.5, layers), HEIGHT - BOTTOM + 18, f"{layer}") for layer in range(0, layers, step)]
    return [*parts, _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "layer, and bytes of the arena")]


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{words}</text>'


def _stripes(stripes: dict[str, Any] | None, layers: int) -> Sequence[str]:
    """A line along the layers that run in stripes."""
    if not stripes:
        return []
    start, end, at = _x(stripes["first"], layers), _x(stripes["last"] + 1, layers), HEIGHT - BOTTOM + 3
    title = f"layers {stripes['first']} to {stripes['last']} in {stripes['count']} stripes"
    return [f'<line class="axis" stroke-width="3" x1="{start}" x2="{end}" y1="{at}" y2="{at}"><title>{title}</title></line>']


def _box(place: dict[str, Any], layers: int, arena: int) -> str:
    left, right = _x(place["first"], layers), _x(place["last"] + 1, layers)
    top, bottom = _y(place["offset"], arena), _y(place["offset"] + place["bytes"], arena)
    name = wording.one_line("scratch memory" if place["name"] is None else place["name"])
    title = f"{name}: {place['bytes']:,} bytes at {place['offset']:,}, layers {place['first']} to {place['last']}"
    colour = "var(--line)" if place["name"] is None else "var(--bar)"
    size = f"{place['bytes']:,}"
    fits = right - left > LETTER * len(size) and bottom - top > LINE
    label = _text((left + right) / 2, (top + bottom) / 2 + 4, size, "label") if fits else ""
    shape = f'x="{left}" y="{top}" width="{right - left:.1f}" height="{max(bottom - top, 1):.1f}" rx="2"'
    return f'<g><title>{escape(title)}</title><rect {shape} fill="{colour}" fill-opacity="0.7" stroke="var(--soft)"/>{label}</g>'
