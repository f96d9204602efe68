"""What can go wrong and the exit code it ends in. A message names the file, key or layer, and the cure, in one line."""

import difflib
from collections.abc import Iterable


class EdgepressError(Exception):
    """Base of every error that is told to the user without a traceback. `exit_code` is what the command ends with."""

    exit_code = 2


class UserError(EdgepressError):
    """The user's mistake: a wrong key, a missing file, an operator that can't be exported."""


class ExportError(UserError):
    """A network, layer or operator that an exporter or runtime can't take; the message names layer and operator."""


class TargetUnreachableError(EdgepressError):
    """A device or emulator that the run needs could not be reached."""

    exit_code = 3


def did_you_mean(word: str, possible: Iterable[str]) -> str:
    """The tail of a message about a wrong word: the nearest right one, else all of them.

    >>> did_you_mean("quantise", ["quantize", "distill"])
    "did you mean 'quantize'?"
    >>> did_you_mean("xyz", ["quantize", "distill"])
    'possible: distill, quantize'
    """
    words = sorted(possible)
    near = difflib.get_close_matches(word, words, n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"possible: {', '.join(words)}" if words else "none is possible here"
