"""The edgepress command: its commands are the files of `compress/commands`."""

import os
import sys

import click

from compress.commands import COMMANDS
from targets.errors import EdgepressError, UserError

INTERNAL_ERROR = 70
INTERRUPTED = 130
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Commands(click.Group):
    """Commands by folder listing; each is imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the interface's name
        """Every command's name, sorted."""
        return list(COMMANDS.names())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of this name, None where there is none."""
        command: click.Command | None = COMMANDS.load(cmd_name) if cmd_name in COMMANDS.names() else None
        return command


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(package_name="edgepress")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Shrink a trained network, export it, and prove its accuracy and latency on the target.

    \b
    Example:
      edgepress run recipes/quickstart.yaml
    """
    if not debug:
        import logging
        import warnings

        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)


def main() -> None:
    """The command's entry: one line and an exit code for every error; `--debug` may stand anywhere."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads make training ten times slower on a busy machine
    debug = "--debug" in sys.argv
    arguments = [*(["--debug"] if debug else []), *(word for word in sys.argv[1:] if word != "--debug")]
    try:
        sys.exit(cli(arguments, standalone_mode=False) or 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(UserError.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped; passes that were finished are kept, and the next run goes on from there", err=True)
        sys.exit(INTERRUPTED)
    except EdgepressError as error:
        if debug:
            raise
        click.echo(f"edgepress: {' '.join(str(error).split())}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:  # whatever else is a fault of ours: say so in one line, the traceback on request
        if debug:
            raise
        click.echo(f"edgepress: internal error: {type(error).__name__}: {error}; see it with 'edgepress --debug …' and report it", err=True)
        sys.exit(INTERNAL_ERROR)


if __name__ == "__main__":
    main()
