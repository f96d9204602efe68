"""edgepress doctor: what this machine can do."""

import click

from compress.commands.base import console, echo_json, json_option, new_table


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Which parts of this machine serve which feature, and how to get what is missing.

    \b
    Example:
      edgepress doctor
    """
    from dataclasses import asdict

    from compress.doctor import examine

    parts = examine()
    if as_json:
        echo_json([asdict(part) for part in parts])
        return
    table = new_table("serves", "part", "found", "how to get it")
    for part in parts:
        table.add_row(part.feature, part.part, f"[green]{part.found}[/]" if part.found else "[yellow]missing[/]", part.cure or "")
    console().print(table)
