"""A diagnosis for a terminal, for programs, and its overrides to paste."""

from collections.abc import Iterator, Sequence
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from compress.diagnosing.findings import Diagnosis, FileFindings, Intervention, LayerFindings
from compress.quantization.overrides import Override
from compress.quantization.units import Choice
from compress.report import wording
from compress.report.content import plain

TIME = "measured: what the layer's operators take longer on this machine, each by itself; conversions between schemes are not in it"
SMALL_SHARE = 0.02
"""A layer whose best intervention wins back less has one line, with that intervention alone."""


def as_dict(found: Diagnosis) -> dict[str, Any]:
    """The content of `--json`: shares and accuracies from 0 to 1, noise in decibels (null where nothing is lost), bytes, milliseconds."""
    content = {
        "schema": 1,
        "name": found.name,
        "quantization": vars(found.choice),
        "metric": found.metric,
        "samples": found.samples,
        "float": found.float_metric,
        "quantized": vars(found.quality),
        "layers": [_layer(layer) for layer in found.layers],
        "everywhere": [_intervention(trial, found.choice) for trial in found.everywhere],
        "overrides": rules(found.advice),
        "predicted": vars(found.predicted) if found.predicted else None,
        "files": {name: vars(file) if file else None for name, file in (("before", found.before), ("after", found.after))},
        "reason": found.reason,
        "time": TIME,
        "notes": found.notes,
    }
    made: dict[str, Any] = plain(content)
    return made


def _layer(layer: LayerFindings) -> dict[str, Any]:
    return {
        "name": layer.unit.name,
        "operators": layer.unit.operators,
        "choice": layer.choice.scheme,
        "sqnr_db": layer.noise.total,
        "own_sqnr_db": layer.noise.own,
        "interventions": [_intervention(trial, layer.choice) for trial in layer.interventions],
    }


def _intervention(trial: Intervention, before: Choice) -> dict[str, Any]:
    return {**vars(trial), "choice": trial.choice.beside(before)}


def rules(advice: Sequence[Override]) -> list[dict[str, str]]:
    """Overrides as a recipe has them."""
    names = ("match", "operator", "scheme", "weight_granularity")
    return [{name: value for name in names if (value := getattr(rule, name)) is not None} for rule in advice]


def paste(advice: Sequence[Override]) -> str:
    """Overrides as YAML, to paste under `quantize`."""
    return yaml.safe_dump({"overrides": rules(advice)}, sort_keys=False, width=120).rstrip()


def show(found: Diagnosis, console: Console) -> None:
    """Prints what was tried on each layer, the most rewarding first, then the advice and what it did to the exported file."""
    console.print(Text(wording.one_line(found.name), style="bold"))
    console.print(Text(_summary(found)), soft_wrap=True)
    console.print()
    console.print(_table(found))
    if any(trial.milliseconds is not None for layer in found.layers for trial in layer.interventions):
        console.print(Text(f"time: {TIME}", style="dim"), soft_wrap=True)
    for note in found.notes:
        console.print(Text(wording.one_line(note), style="dim"), soft_wrap=True)
    console.print()
    for line in _advice(found):
        console.print(line, soft_wrap=True)


def _summary(found: Diagnosis) -> str:
    quality = found.quality
    value = f"{wording.metric_value(found.float_metric, found.metric)} to {wording.metric_value(quality.metric, found.metric)}"
    agreement = "" if quality.agreement is None else f", same top-1 {wording.share(quality.agreement)}"
    scheme = found.choice.scheme + (" per tensor" if found.choice.granularity == "tensor" else "")
    return f"{scheme}: {found.metric} {value}{agreement}, divergence {quality.divergence:.3g} on {found.samples} samples in torch"


def _table(found: Diagnosis) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold")
    for title in ("SQNR dB", "own dB", "if it were", "wins back", "same top-1", found.metric, "bytes", "time"):
        table.add_column(title, justify="left" if title == "if it were" else "right", no_wrap=True)
    for trial in found.everywhere:
        table.add_row("all layers", "", "", *_cells(trial, found.choice, found))
    for layer in found.layers:
        small = layer.won < SMALL_SHARE * found.quality.divergence
        cells = [_cells(trial, layer.choice, found) for trial in layer.interventions[: 1 if small else None]]
        for number, row in enumerate(cells or [("not tried", "", "", "", "", "")]):
            head = (wording.one_line(layer.unit.name), _decibels(layer.noise.total), _decibels(layer.noise.own))
            table.add_row(*map(Text, head if number == 0 else ("", "", "")), *row)
    return table


def _cells(trial: Intervention, before: Choice, found: Diagnosis) -> tuple[str, ...]:
    share = trial.divergence / found.quality.divergence if found.quality.divergence > 0 else 0.0
    return (
        trial.choice.beside(before),
        f"{share:.0%}",
        wording.change(trial.agreement),
        wording.change(trial.metric, found.metric),
        f"{trial.bytes:+,}",
        "not measured" if trial.milliseconds is None else f"{1000 * trial.milliseconds:+,.0f} µs",
    )


def _decibels(value: float) -> str:
    return f"{value:.1f}" if abs(value) < 1000 else "-"


def _advice(found: Diagnosis) -> Iterator[Text]:
    if found.advice and found.predicted:
        won = 1 - found.predicted.divergence / found.quality.divergence
        yield Text(f"These rules win back {won:.0%} of the loss; paste them under 'quantize':", style="bold")
        yield Text(paste(found.advice) + "\n")
    else:
        yield Text("No layer by itself holds a share of the loss that is worth a rule.", style="bold")
    for title, file in (("exported as it is", found.before), ("exported with them", found.after)):
        if file is not None:
            yield Text(f"{title}: {_file(file, found)}")
    runner = next((file.runner for file in (found.after, found.before) if file), None)
    if runner is not None:
        yield Text(f"TFLite, all evaluation samples, by {runner}", style="dim")
    if found.reason is not None:
        yield Text(f"not checked in TFLite: {wording.one_line(found.reason)}", style="yellow")


def _file(file: FileFindings, found: Diagnosis) -> str:
    agreement = "" if file.agreement is None else f", same top-1 {wording.share(file.agreement)}"
    value = f"{found.metric} {wording.metric_value(file.metric, found.metric)}"
    return f"{value}{agreement}, {wording.size(file.bytes)}, {wording.milliseconds(file.milliseconds)}"
