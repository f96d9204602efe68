"""What `edgepress inspect` prints: what a file is, then a table of what can be done with it."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from compress.inspecting.findings import Ability, Inspection, Port
from compress.report import wording

SCHEMA = 1
SHOWN_WEIGHTS = 40
"""Of a checkpoint; JSON has them all."""


def as_dict(found: Inspection) -> dict[str, Any]:
    """For programs: every entry of `Inspection`; shapes have null for an open size."""
    return {"schema": SCHEMA, **asdict(found), "path": str(found.path)}


def show(found: Inspection, console: Console) -> None:
    """Prints all of it."""
    console.print(Text(wording.one_line(f"{found.path}: {found.kind}"), style="bold"), soft_wrap=True)
    console.print(_pairs(found))
    for title, ports in (("input", found.inputs), ("output", found.outputs)):
        if ports:
            console.print()
            console.print(_ports(title, ports))
    if found.weights:
        console.print()
        console.print(_weights(found))
    for title, abilities in (("pass", found.passes), ("export", found.exports), ("target", found.targets)):
        if abilities and not found.weights:
            console.print()
            console.print(_abilities(title, abilities))
    if found.tried_on:
        console.print(Text(f"\ntried on {found.tried_on}, nothing was measured", style="dim"))
    for note in found.notes:
        console.print(Text(f"note: {wording.one_line(note)}", style="yellow"), soft_wrap=True)


def _plain(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in columns:
        table.add_column(title, overflow="fold")
    return table


def _pairs(found: Inspection) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for key, value in _facts(found):
        table.add_row(Text(key, style="dim"), Text(wording.one_line(value)))
    return table


def _facts(found: Inspection) -> Iterator[tuple[str, str]]:
    yield from found.facts.items()
    yield "size", wording.size(found.bytes)
    if found.parameters is not None:
        yield "parameters", f"{found.parameters:,}"
    if found.macs is not None:
        yield "MACs", f"{found.macs:,} for one sample"
    if found.operators:
        yield "operators", ", ".join(f"{count} {name}" for name, count in found.operators.items())


def _ports(title: str, ports: tuple[Port, ...]) -> Table:
    table = _plain(title, "shape", "type", "layout")
    for port in ports:
        shape = "x".join("?" if size is None else str(size) for size in port.shape)
        table.add_row(*map(Text, (wording.one_line(port.name), shape, port.dtype, port.layout or wording.NOTHING)))
    return table


def _weights(found: Inspection) -> Table:
    table = _plain("tensor", "shape", "type")
    for weight in found.weights[:SHOWN_WEIGHTS]:
        table.add_row(*map(Text, (wording.one_line(weight.name), "x".join(map(str, weight.shape)) or "1", weight.dtype)))
    if len(found.weights) > SHOWN_WEIGHTS:
        table.add_row(Text(f"and {len(found.weights) - SHOWN_WEIGHTS} more", style="dim"), "", "")
    return table


def _abilities(title: str, abilities: tuple[Ability, ...]) -> Table:
    """A row each; those of which the same is to be said share one."""
    table = _plain(title, "on", "works", "")
    for ability in _joined(abilities):
        works = Text("yes", style="green") if ability.works else Text("no", style="yellow")
        table.add_row(Text(ability.name), Text(ability.on or wording.NOTHING), works, Text(wording.one_line(ability.reason)))
    return table


def _joined(abilities: tuple[Ability, ...]) -> list[Ability]:
    alike: dict[tuple[bool, str, str], list[str]] = {}
    for ability in sorted(abilities, key=lambda ability: not ability.works):
        alike.setdefault((ability.works, ability.on, ability.reason), []).append(ability.name)
    return [Ability(", ".join(names), *what) for what, names in alike.items()]
