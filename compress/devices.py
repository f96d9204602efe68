"""Several devices at once: what each has to do runs beside what the others do."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def side_by_side(works: Sequence[Callable[[], T]]) -> list[T]:
    """What each of these gives, in their order. All begin at once: the first here, the others in threads of their own.

    The first error is raised when all have ended. Ctrl-C is taken while the first works or the others are waited for, and leaves them.
    """
    found: dict[int, T] = {}
    errors: list[BaseException] = []

    def do(number: int, work: Callable[[], T]) -> None:
        try:
            found[number] = work()
        except BaseException as error:  # noqa: BLE001  raised again where it is waited for
            errors.append(error)

    threads = [threading.Thread(target=do, args=entry, daemon=True) for entry in enumerate(works) if entry[0]]
    for thread in threads:
        thread.start()
    if works:
        found[0] = works[0]()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [found[number] for number in range(len(works))]
