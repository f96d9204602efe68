"""What damaged files end in, whoever reads them."""

import pickle
import struct
import zipfile
import zlib

UNFIT = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, MemoryError)
"""What operators, and rules for them, raise when what they are given doesn't fit."""

DAMAGED = (*UNFIT, OSError, EOFError, ImportError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error)
"""What readers of archives, JSON, HDF5 and pickles raise for a file that isn't whole; RuntimeError for entries that are encrypted too."""
