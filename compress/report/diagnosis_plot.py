"""A diagnosis as a drawing: for each layer what single interventions win back, beside the noise of its output."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path

from compress.diagnosing.findings import Diagnosis, Intervention, LayerFindings
from compress.report import wording
from compress.report.plot import Axis, value_axis
from targets.errors import UserError

NAMES, NOISE, WON, WIDTH = 190, 240, 620, 1040
"""Where the columns start: names end at the first, noise is drawn from the second, what is won from the third."""

ROW, TOP, BAR = 34, 74, 8
LETTER, LOUD = 7, 1000
COLOURS = {"int8": "#0f8a5f", "w4a8": "#7c3aed", "int16x8": "#2a78d6", "float": "#c2410c"}
STYLE = (
    "svg{--ink:#16191f;--soft:#5b6472;--line:#e1e5ea}text{font:13px system-ui,sans-serif;fill:var(--ink)}.soft{fill:var(--soft)}"
    ".grid{stroke:var(--line)}.axis{stroke:var(--soft)}.dot{stroke:var(--ink);color:var(--ink)}"
    "@media(prefers-color-scheme:dark){svg{background:#111419;--ink:#e7eaf0;--soft:#9aa4b2;--line:#2d333d}}"
)


def write(found: Diagnosis, path: Path) -> None:
    """Writes the drawing as an SVG file. UserError where it can't be written."""
    try:
        path.write_text(svg(found), encoding="utf-8")
    except OSError as error:
        raise UserError(f"--plot {path}: can't be written: {error.strerror}; name another file") from None


def svg(found: Diagnosis) -> str:
    """The drawing. A row a layer that was tried, in the order of what can be won."""
    layers = [layer for layer in found.layers if layer.interventions]
    height = TOP + ROW * len(layers) + 30
    total = found.quality.divergence or 1.0
    shares = [trial.divergence / total for layer in layers for trial in layer.interventions]
    won = _axis([0.0, *shares], WON, WIDTH - 24)
    noise = [value for layer in layers for value in (layer.noise.total, layer.noise.own) if abs(value) < LOUD]
    decibels = _axis(noise or [0.0], NOISE, WON - 40)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"><style>{STYLE}</style>',
        f"<title>{escape(wording.one_line(found.name))}: what quantization costs, layer by layer</title>",
        *_grid(decibels, height, "signal to noise of the output, dB (hollow: its own noise)", "{:g}".format),
        *_grid(won, height, "share of the loss won back if the layer were", "{:.0%}".format),
        *_key(layers),
    ]
    for number, layer in enumerate(layers):
        parts += _row(layer, TOP + ROW * number, decibels, won, total)
    return "".join([*parts, "</svg>\n"])


def _axis(values: Sequence[float], start: float, end: float) -> Axis:
    return replace(value_axis(values), start=start, end=end)


def _grid(axis: Axis, height: int, title: str, say: Callable[[float], str]) -> list[str]:
    parts = [f'<text class="soft" x="{axis.start}" y="20">{escape(title)}</text>']
    for tick in axis.ticks:
        at = axis.place(tick)
        kind = "axis" if abs(tick) < 1e-9 else "grid"
        parts.append(f'<line class="{kind}" x1="{at}" x2="{at}" y1="{TOP - 12}" y2="{height - 26}"/>')
        parts.append(f'<text class="soft" x="{at}" y="{height - 8}" text-anchor="middle">{escape(say(tick))}</text>')
    return parts


def _key(layers: Sequence[LayerFindings]) -> list[str]:
    """What the colours mean."""
    parts, at = [], float(WON)
    for word in dict.fromkeys(trial.choice.beside(layer.choice) for layer in layers for trial in layer.interventions):
        parts.append(
            f'<rect x="{at}" y="34" width="12" height="12" fill="{_colour(word)}"/><text x="{at + 18}" y="45">{escape(word)}</text>'
        )
        at += 40 + LETTER * len(word)
    return parts


def _row(layer: LayerFindings, y: int, decibels: Axis, won: Axis, total: float) -> list[str]:
    """One layer: its name, two dots of noise, a bar for each intervention."""
    middle = y + ROW / 2 - 6
    parts = [f'<text x="{NAMES}" y="{middle + 5}" text-anchor="end">{escape(wording.one_line(layer.unit.name))}</text>']
    for value, fill in ((layer.noise.total, "currentColor"), (layer.noise.own, "none")):
        if abs(value) < LOUD:
            parts.append(f'<circle class="dot" cx="{decibels.place(value)}" cy="{middle}" r="5" fill="{fill}"/>')
    for number, trial in enumerate(layer.interventions):
        parts.append(_bar(trial, y + number * BAR, won, trial.choice.beside(layer.choice), trial.divergence / total))
    return parts


def _bar(trial: Intervention, y: int, won: Axis, word: str, share: float) -> str:
    zero, end = won.place(0.0), won.place(share)
    story = f"{word}: {share:.0%} of the loss, {trial.bytes:+,} bytes"
    size = f'x="{min(zero, end)}" y="{y}" width="{abs(end - zero):.1f}" height="{BAR - 1}"'
    return f'<rect {size} fill="{_colour(word)}"><title>{escape(story)}</title></rect>'


def _colour(word: str) -> str:
    return COLOURS[word.partition(" ")[0]]
