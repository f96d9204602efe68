"""edgepress compile: a .tflite file to C."""

from pathlib import Path

import click

from compress.commands.base import echo_json, json_option
from targets.errors import UserError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to write; default <FILE's name>-c beside it.")
@json_option
def command(file: Path, output: Path | None, as_json: bool) -> None:
    """Turn a quantized .tflite FILE, anybody's, into a folder of C for a microcontroller's firmware.

    \b
    Example:
      edgepress compile model.tflite --output firmware/model
    """
    from targets.microcontroller.compiler import compile_tflite
    from targets.microcontroller.packaging import package

    folder = output or file.with_name(f"{file.stem}-c")
    if folder.exists() and not (folder / "model.json").exists():
        raise UserError(f"{folder}: holds other files; name another folder with --output")
    artifact = compile_tflite(file, folder)
    package(artifact)
    facts = {"folder": str(folder), "sha256": artifact.sha256, "bytes": artifact.bytes, "arena_bytes": artifact.details["arena_bytes"]}
    if as_json:
        echo_json(facts)
    else:
        click.echo(f"wrote {folder}: an arena of {facts['arena_bytes']:,} bytes; its README.md says how to build it in")
