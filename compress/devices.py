"""Several devices at once: what each has to do runs beside what the others do."""

import threading
from collections.abc import Callable, Sequence


def side_by_side(works: Sequence[Callable[[], None]]) -> None:
    """Does all of these at once: the first here, the others in threads of their own.

    The first error is raised when all have ended. Ctrl-C is taken at once and leaves the others, which end with the process.
    """
    errors: list[Exception] = []

    def do(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  raised again where all have ended
            errors.append(error)

    threads = [threading.Thread(target=do, args=(work,), daemon=True) for work in works[1:]]
    for thread in threads:
        thread.start()
    for work in works[:1]:
        do(work)
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
