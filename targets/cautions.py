"""Targets that also know what of a file will work on a board, but worse than it could."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from targets.base import Artifact


@runtime_checkable
class Cautious(Protocol):
    """What `edgepress targets check` tells beside problems."""

    def cautions(self, artifact: Artifact) -> Sequence[str]:
        """One line each, with the cure. Only for files without problems (`Target.check`)."""
