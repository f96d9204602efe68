"""One thread, so that sums of floating-point numbers are added in one order however many cores a machine has."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside it torch has one thread; a decorator too. Last bits that depend on their number decide how weights are rounded."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
