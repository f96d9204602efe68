"""edgepress inspect: what a file is and what can be done with it."""

from pathlib import Path

import click

from compress.commands.base import console, echo_json, json_option, progress


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--data", help="digits, an .npz file or package.module:function; default: random inputs of the shapes that FILE tells.")
@json_option
def command(file: Path, data: str | None, as_json: bool) -> None:
    """What FILE holds, and which passes, exports and targets work on it.

    FILE is any that can be a recipe's model, an exported file, a folder of generated C, or a checkpoint. No code in it is run.

    \b
    Example:
      edgepress inspect model.onnx
    """
    from compress.inspecting.inspect import inspect
    from compress.report import inspection

    found = inspect(file, data, progress())
    if as_json:
        echo_json(inspection.as_dict(found))
    else:
        inspection.show(found, console())
