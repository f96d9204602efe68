"""Frames on a serial line, as `drop_in/edgepress_serial.h` describes them: content and CRC-32, COBS-encoded, with a byte 0 at the end."""

import zlib

CONTENT_BYTES = 254
"""The longest content with its CRC: what one block of COBS holds."""
FRAME_BYTES = CONTENT_BYTES + 2
CRC_BYTES = 4
BODY_BYTES = CONTENT_BYTES - CRC_BYTES - 2
"""What is left beside command or status and sequence."""
END = b"\0"


def encode(content: bytes) -> bytes:
    """The frame around a content of at most CONTENT_BYTES - CRC_BYTES bytes.

    Consistent overhead byte stuffing (Cheshire and Baker, 1999) leaves 0 for the end alone.

    >>> encode(b"").hex()
    '0101010100'
    """
    whole = content + zlib.crc32(content).to_bytes(CRC_BYTES, "little")
    return b"".join(bytes([len(run) + 1]) + run for run in whole.split(END)) + END


def decode(frame: bytes) -> bytes | None:
    """The content of a frame that `encode` made, or None for any other bytes.

    >>> decode(encode(b"any\\0thing"))
    b'any\\x00thing'
    """
    runs, place, end = [], 0, len(frame) - 1
    if frame[end:] != END or END in frame[:end]:
        return None
    while place < end:
        following = place + frame[place]
        runs.append(frame[place + 1 : following])
        place = following
    whole = END.join(runs)
    content, crc = whole[:-CRC_BYTES], whole[-CRC_BYTES:]
    return content if place == end and crc == zlib.crc32(content).to_bytes(CRC_BYTES, "little") else None
