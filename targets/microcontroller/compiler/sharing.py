"""Which layers share the code of a kernel.

A kernel is written for any shape, and inlining it with a layer's own numbers specialises it. Layers of one kind, whose numbers choose
the same loops, share one such copy: the numbers in which they differ are read at run time, those that they agree on stay constants. A
layer that is the only one of its kind has the kernel to itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from targets.microcontroller.compiler.layer import Kernel


@dataclass(frozen=True, eq=False)
class Copy:
    """The code of a kernel for the layers `steps`; `varying` are the members of its structure that are read at run time, in their order."""

    number: int
    steps: tuple[int, ...]
    kernel: Kernel
    varying: tuple[str, ...]


def share(calls: Mapping[int, Sequence[Kernel]]) -> dict[int, Copy]:
    """The copy that each layer uses, by its step, for all its calls; none for a layer that has its kernel to itself and calls it once."""
    kinds: dict[object, list[Kernel]] = {}
    steps: dict[object, list[int]] = {}
    for step, kernels in calls.items():
        kinds.setdefault(_kind(kernels[0]), []).extend(kernels)
        steps.setdefault(_kind(kernels[0]), []).append(step)
    shared = [kind for kind in kinds if len(kinds[kind]) > 1]
    copies = [Copy(number, tuple(steps[kind]), kinds[kind][0], _varying(kinds[kind])) for number, kind in enumerate(shared)]
    return {step: copy for copy in copies for step in copy.steps}


def _kind(kernel: Kernel) -> object:
    chosen = tuple((member, kernel.members[member]) for member in kernel.kind)
    return kernel.function, chosen, tuple(None if argument in kernel.pointers else argument for argument in kernel.arguments)


def _varying(kernels: Sequence[Kernel]) -> tuple[str, ...]:
    return tuple(member for member in kernels[0].members if len({kernel.members[member] for kernel in kernels}) > 1)
