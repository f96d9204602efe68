"""HDF5 files, which are read by a library that damaged ones can crash or keep busy for ever: a process of its own tries them first."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from targets.errors import UserError

SECONDS = 5
"""Of the processor, far more than a network's weights take."""

LARGEST = 2**30
"""Bytes of a tensor that are read; larger ones are refused by who reads them."""

PROBE = f"""
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
except ImportError:
    pass
import h5py

def look(_, item):
    dict(item.attrs)
    if isinstance(item, h5py.Dataset) and item.shape and item.nbytes <= {LARGEST}:
        rows = max(1, 2**24 * item.shape[0] // max(1, item.nbytes))
        for start in range(0, item.shape[0], rows):
            item[start : start + rows]

with h5py.File(sys.argv[1], "r") as file:
    look("", file)
    file.visititems(look)
"""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file to read from. UserError, without the file's name, where the file can't be read from beginning to end."""
    try:
        done = subprocess.run([sys.executable, "-c", PROBE, str(path)], capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        raise UserError("is damaged: reading it doesn't end; save it again") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] if done.returncode > 0 else ["reading it doesn't end, or ends the process"]
        raise UserError(f"can't be read as an HDF5 file: {''.join(said) or done.returncode}; save it again")
    with h5py.File(path, "r") as file:
        yield file
