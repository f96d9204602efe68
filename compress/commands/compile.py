"""edgepress compile: a .tflite file to C."""

import math
from pathlib import Path
from typing import Any

import click

from compress.commands.base import echo_json, json_option
from targets.errors import UserError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to write; default <FILE's name>-c beside it.")
@click.option("--max-ram-kb", type=click.FloatRange(0, min_open=True), help="Kilobytes for the arena; layers run in stripes for it.")
@json_option
def command(file: Path, output: Path | None, max_ram_kb: float | None, as_json: bool) -> None:
    """Turn a .tflite FILE, anybody's, into a folder of C for a microcontroller's firmware.

    \b
    Example:
      edgepress compile model.tflite --output firmware/model
    """
    from targets.microcontroller.compiler import compile_tflite
    from targets.microcontroller.packaging import package

    if max_ram_kb is not None and not math.isfinite(max_ram_kb):
        raise UserError(f"--max-ram-kb: can't be {max_ram_kb:g}; give the kilobytes that the arena may have, such as 32")
    folder = output or file.with_name(f"{file.stem}-c")
    if folder.exists() and not (folder / "model.json").exists():
        raise UserError(f"{folder}: holds other files; name another folder with --output")
    artifact = compile_tflite(file, folder, max_ram_kb=max_ram_kb)
    package(artifact)
    kept = {key: artifact.details[key] for key in ("arena_bytes", "stripes", "memory_plan")}
    if as_json:
        echo_json({"folder": str(folder), "sha256": artifact.sha256, "bytes": artifact.bytes, **kept})
    else:
        click.echo(f"wrote {folder}: an arena of {kept['arena_bytes']:,} bytes; its README.md says how to build it in")
        if artifact.details["layers"]:
            click.echo(_fullest(artifact.details["layers"], kept["stripes"]))


def _fullest(layers: list[dict[str, Any]], stripes: dict[str, int] | None) -> str:
    """Which layer needs most of the arena, and what runs in stripes for it."""
    number = max(range(len(layers)), key=lambda step: layers[step]["ram_bytes"])
    words = f"fullest at layer {number}, {layers[number]['operator']}: {layers[number]['ram_bytes']:,} bytes"
    if stripes is None:
        return words
    return f"{words}; layers {stripes['first']} to {stripes['last']} run in {stripes['count']} stripes, no MAC twice"
