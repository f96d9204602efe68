"""Ctrl-C in long work: taken where stopping leaves nothing half done."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def taken_at_stops() -> Iterator[Callable[[], None]]:
    """While it runs, Ctrl-C waits for the next call of the function that this gives, which then raises KeyboardInterrupt.

    Elsewhere an interrupt could be lost (in a callback that a C++ library made) or cut a file short. A second Ctrl-C is taken at once.
    Outside the main thread, which gets no signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    pressed = threading.Event()

    def note(_number: int, _frame: FrameType | None) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    def stop_if_pressed() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield stop_if_pressed
        stop_if_pressed()
    finally:
        signal.signal(signal.SIGINT, before)
