"""Options that are a list of names, each alone or with its one number: `[flip, {mixup: 0.4}]`."""

import math
from collections.abc import Mapping

from targets.errors import UserError, did_you_mean

Entries = tuple[str | dict[str, float], ...]


def amounts(entries: Entries, usual: Mapping[str, float], option: str) -> dict[str, float]:
    """The number of each name; `usual` holds those of names that stand alone. UserError for names and numbers that can't be.

    >>> amounts(("flip", {"mixup": 0.4}), {"flip": 0.5, "mixup": 0.2}, "augment")
    {'flip': 0.5, 'mixup': 0.4}
    """
    found: dict[str, float] = {}
    for entry in entries:
        for name, amount in ({entry: usual.get(entry, 0.0)} if isinstance(entry, str) else entry).items():
            if name not in usual:
                raise UserError(f"{option}: nothing is called '{name}'; {did_you_mean(name, usual)}")
            if name in found:
                raise UserError(f"{option}: '{name}' stands there twice")
            if not (math.isfinite(amount) and amount > 0):
                raise UserError(f"{option}: {name} must be a number above 0, not {amount}")
            found[name] = amount
    return found
