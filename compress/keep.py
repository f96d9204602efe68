"""Layers that an option `keep` names."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from targets.errors import UserError, did_you_mean


def kept(patterns: Iterable[str], names: Iterable[str]) -> set[str]:
    """Those of the layers' names that a pattern matches, as file names are matched. UserError for a pattern that matches none."""
    known, found = sorted(set(names)), set[str]()
    for pattern in patterns:
        matched = {name for name in known if fnmatchcase(name, pattern)}
        if not matched:
            raise UserError(f"keep: '{pattern}' matches no layer; {did_you_mean(pattern, known)}")
        found |= matched
    return found
