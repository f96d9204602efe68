"""What commands share: where they print and how."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from compress.progress import Progress

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs instead of tables.")


def progress() -> "Progress":
    """Shows work on standard error."""
    from compress.console import ConsoleProgress

    return ConsoleProgress()


def console() -> "Console":
    """Standard output, of the terminal's width or of 100 columns in files."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=100)


def new_table(*columns: str) -> "Table":
    """An empty table with these columns."""
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False)


def echo_json(value: Any) -> None:
    """Prints a value as JSON."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))
