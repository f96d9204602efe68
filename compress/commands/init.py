"""edgepress init: a recipe to start from."""

from pathlib import Path

import click

from compress.commands.base import echo_json, json_option


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("recipe.yaml"))
@click.option("--model", default="model.pt2", show_default=True, help="A .pt2 file, or package.module:factory.")
@click.option("--data", default="data.npz", show_default=True, help="digits, an .npz file, an image folder or package.module:function.")
@click.option("--name", help="The run's name; default: the file's.")
@json_option
def command(file: Path, model: str, data: str, name: str | None, as_json: bool) -> None:
    """Write a commented recipe to FILE for your own model.

    \b
    Example:
      edgepress init my-recipe.yaml --model my_model.pt2 --data my_data.npz
    """
    from compress.template import write_recipe

    write_recipe(file, name or file.stem, model, data)
    if as_json:
        echo_json({"recipe": str(file)})
    else:
        click.echo(f"wrote {file}; look it through, then: edgepress run {file}")
