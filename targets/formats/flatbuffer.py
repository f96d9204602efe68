"""Reads flatbuffers (the container of .tflite) with every offset checked against the file, so that no file can crash the reader.

Format: https://flatbuffers.dev/internals/. All numbers are little-endian.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class MalformedError(Exception):
    """The bytes contradict themselves; the reader of the format turns it into a message that names the file."""


def root(data: bytes, identifier: bytes) -> "Table":
    """The file's root table. MalformedError where the four bytes after the first offset aren't the format's identifier."""
    if data[4:8] != identifier:
        raise MalformedError(f"it doesn't start as one (no '{identifier.decode()}' at byte 4)")
    return Table.at(data, _unsigned(data, 0))


@dataclass(frozen=True)
class Table:
    """A table at `position`; `vtable` holds the offset of each slot's field from there, 0 where the field is left out."""

    data: bytes
    position: int
    vtable: tuple[int, ...]

    @classmethod
    def at(cls, data: bytes, position: int) -> "Table":
        """The table that starts at this byte. MalformedError where it or its vtable leaves the file."""
        vtable = position - _unpack("<i", data, position)
        size = _unpack("<H", data, vtable)
        if size < 4 or size % 2 or vtable + size > len(data):
            raise MalformedError(f"the table at byte {position} has an impossible vtable")
        return cls(data, position, struct.unpack_from(f"<{size // 2 - 2}H", data, vtable + 4))

    def scalar(self, slot: int, code: str, default: float) -> float:
        """The number in this slot, by `struct`'s code for its type."""
        at = self._field(slot)
        return default if at is None else _unpack(f"<{code}", self.data, at)

    def integer(self, slot: int, code: str = "i", default: int = 0) -> int:
        """The whole number in this slot."""
        return int(self.scalar(slot, code, default))

    def table(self, slot: int) -> "Table | None":
        """The table that this slot points to."""
        at = self._field(slot)
        return None if at is None else Table.at(self.data, at + _unsigned(self.data, at))

    def tables(self, slot: int) -> "list[Table]":
        """The tables of a vector of tables, none where the slot is left out."""
        offsets = self._bounds(slot, 4)
        if offsets is None:
            return []
        start, count = offsets
        places = range(start, start + 4 * count, 4)
        return [Table.at(self.data, at + _unsigned(self.data, at)) for at in places]

    def vector(self, slot: int, dtype: str) -> NDArray[np.generic] | None:
        """A vector of numbers as a view of the file; `dtype` in numpy's words (`<i4`)."""
        bounds = self._bounds(slot, np.dtype(dtype).itemsize)
        if bounds is None:
            return None
        start, count = bounds
        return np.frombuffer(self.data, dtype, count, start)

    def string(self, slot: int, limit: int = 4096) -> str:
        """A string, cut after `limit` bytes; what isn't UTF-8 is replaced."""
        bounds = self._bounds(slot, 1)
        if bounds is None:
            return ""
        start, count = bounds
        return self.data[start : start + min(count, limit)].decode("utf-8", "replace")

    def _field(self, slot: int) -> int | None:
        offset = self.vtable[slot] if slot < len(self.vtable) else 0
        return self.position + offset if offset else None

    def _bounds(self, slot: int, itemsize: int) -> tuple[int, int] | None:
        at = self._field(slot)
        if at is None:
            return None
        start = at + _unsigned(self.data, at)
        count = _unsigned(self.data, start)
        if start + 4 + count * itemsize > len(self.data):
            raise MalformedError(f"the vector at byte {start} leaves the file (is it cut short?)")
        return start + 4, count


def _unsigned(data: bytes, at: int) -> int:
    return int(_unpack("<I", data, at))


def _unpack(code: str, data: bytes, at: int) -> int:
    if at < 0 or at + struct.calcsize(code) > len(data):
        raise MalformedError(f"byte {at} lies outside of its {len(data)} bytes (is it cut short?)")
    value: int = struct.unpack_from(code, data, at)[0]
    return value
