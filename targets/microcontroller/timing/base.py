"""What a timing model gives."""

from collections.abc import Sequence
from typing import Protocol

from targets.microcontroller.decoders.base import Instruction


class Timing(Protocol):
    """A core's cycles; constructed with the `cycles` of its YAML file."""

    def cycles(self, block: Sequence[Instruction], executions: int, fallthroughs: int) -> int:
        """Cycles of all `executions` of a block of straight-line code, of which `fallthroughs` did not take its last branch."""
