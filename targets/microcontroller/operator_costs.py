"""What each operator of a file takes on an emulated core: counted, with no look at outputs; for files made to be timed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from targets.base import Artifact, Layer
from targets.boards import Board
from targets.errors import UserError
from targets.microcontroller import cores, firmware, flash, profile
from targets.microcontroller.compiled import as_c
from targets.microcontroller.emulators import EMULATORS
from targets.microcontroller.emulators.base import Emulator
from targets.microcontroller.sources import Sources

ROOM = 16 << 20
"""Bytes of RAM and flash that the emulated core has at least: a file of many operators needs more than the board has."""


def count(artifact: Artifact, board: Board, optimization: str = "-O2") -> Sequence[Layer]:
    """A row for each operator of the file. UserError for a board without a core that can be emulated, ExportError for another file."""
    if board.core is None or board.core not in cores.names():
        raise UserError(f"{board.name}: core '{board.core}' can't be emulated; possible: {', '.join(cores.names())}")
    core = cores.load(board.core)
    described = flash.of(board)
    roomy = replace(board, ram_bytes=max(ROOM, board.ram_bytes or 0), flash_bytes=max(ROOM, board.flash_bytes or 0))
    sources = Sources.of(as_c(artifact))
    built = firmware.build(sources, core, roomy.flash_bytes or ROOM, roomy.ram_bytes or ROOM, optimization)
    emulator: Emulator = EMULATORS.load(core.emulator)(core, built, roomy.ram_bytes or ROOM)
    inputs = [np.zeros(tensor.shape, tensor.dtype) for tensor in artifact.inputs]
    _, counts = emulator.count(inputs, described)
    costs = profile.by_owner(core, built, counts, described.flash_wait_states if described else 0)
    return profile.layers(sources, costs, board.clock_hz)[: len(sources.layers)]
