"""edgepress targets: boards and what runs files on them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compress.commands.base import console, echo_json, json_option, new_table

if TYPE_CHECKING:
    from targets.base import Artifact


@click.group()
def command() -> None:
    """Boards and what runs files on them.

    \b
    Example:
      edgepress targets list
    """


@command.command("list")
@json_option
def list_targets(as_json: bool) -> None:
    """Every board that ships.

    \b
    Example:
      edgepress targets list
    """
    from targets import boards

    found = [boards.load(name) for name in boards.names()]
    if as_json:
        keys = ("name", "title", "target", "core", "clock_hz", "flash_bytes", "ram_bytes")
        echo_json([{key: getattr(board, key) for key in keys} for board in found])
        return
    table = new_table("name", "kind", "core", "clock", "flash", "RAM")
    table.columns[0].min_width = max(len(board.name) for board in found)
    for board in found:
        clock = f"{board.clock_hz / 1e6:g} MHz" if board.clock_hz else "-"
        table.add_row(board.name, board.target, board.core or "-", clock, _size(board.flash_bytes), _size(board.ram_bytes))
    console().print(table)


@command.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """All that is known of one board, with the source of each figure.

    \b
    Example:
      edgepress targets show nucleo-l4r5zi
    """
    from dataclasses import asdict

    from targets import boards

    board = boards.load(name)
    target = boards.target(name)
    problem = target.available()
    facts = {**asdict(board), "formats": list(target.formats), "ready": problem is None, "missing": str(problem) if problem else None}
    if as_json:
        echo_json(facts)
        return
    table = new_table("figure", "value", "source")
    for key, value in facts.items():
        if key != "sources" and value not in (None, {}):
            table.add_row(key, str(value), board.sources.get(key, ""))
    console().print(table)


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target", "-t", "names", multiple=True, required=True, help="Board's name or YAML file.")
@json_option
def check(file: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Will FILE work on a board? Says what will not, or not well, before anything is built. Exit code 1 when something will not.

    \b
    Example:
      edgepress targets check model.tflite --target nano-33-ble
    """
    from targets import formats

    artifact = formats.read(file)
    found = [_checked(artifact, name) for name in names]
    if as_json:
        echo_json(found)
    else:
        for row in found:
            click.echo(f"{row['target']}: {'fits' if row['fits'] else 'does not fit'}")
            for problem in row["problems"]:
                click.echo(f"  {problem['reason']}; {problem['cure']}")
            for caution in row["cautions"]:
                click.echo(f"  {caution}")
    sys.exit(0 if all(row["fits"] for row in found) else 1)


def _checked(artifact: "Artifact", name: str) -> dict[str, Any]:
    from targets import boards
    from targets.cautions import Cautious

    target = boards.target(name)
    problems = [{"reason": problem.reason, "cure": problem.cure} for problem in target.check(artifact)]
    cautions = list(target.cautions(artifact)) if isinstance(target, Cautious) and not problems else []
    return {"file": str(artifact.path), "target": name, "fits": not problems, "problems": problems, "cautions": cautions}


@command.command()
@click.argument("kind", type=click.Choice(["raspberry-pi"]))
@click.option("--device", help="ssh://user@host[:port]: install the runtimes there, in an environment of edgepress's own.")
@json_option
def setup(kind: str, device: str | None, as_json: bool) -> None:
    """Fetch what a target needs to be emulated here, once, into the cache; or make a device ready.

    \b
    Example:
      edgepress targets setup raspberry-pi
      edgepress targets setup raspberry-pi --device ssh://pi@raspberrypi.local
    """
    from targets.raspberry_pi import setup as prepare
    from targets.raspberry_pi import setup_device

    def say(line: str) -> None:
        click.echo(line, err=True)

    ready = setup_device(device, say) if device else str(prepare(say))
    if as_json:
        echo_json({"kind": kind, "device": device, "folder": ready})
    else:
        click.echo(f"{kind}: ready in {ready}{f' of {device}' if device else ''}")


def _size(count: int | None) -> str:
    if count is None:
        return "-"
    return f"{count / 2**20:,.0f} MB" if count >= 2**21 else f"{count / 2**10:,.0f} KB"
