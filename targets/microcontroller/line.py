"""The serial line to a board whose firmware answers by `drop_in/edgepress_serial.h`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from targets.errors import TargetUnreachableError, UserError, did_you_mean
from targets.microcontroller import frames

SCHEME = "serial://"
VERSION = 1
HELLO, LOAD, RUN, READ = 1, 2, 3, 4
DONE, GARBLED = 0, 1
ATTEMPTS = 5
HELLO_SECONDS = 1.0
"""A board that starts anew when its port is opened doesn't hear the first ones."""
NUMBERS = {"baud": 115200, "timeout": 10}


@dataclass(frozen=True)
class Address:
    """Where a board is: the port's name, its speed, and how many seconds an answer may take, an inference too."""

    port: str
    baud: int
    timeout: int

    @classmethod
    def of(cls, device: str) -> "Address":
        """From `serial://PORT?baud=115200&timeout=10`; both may be left out. UserError for anything else."""
        cure = f"name a board as {SCHEME}/dev/ttyACM0?baud=115200 or {SCHEME}COM3"
        parts = urlsplit(device)
        port = parts.netloc + parts.path
        if not device.startswith(SCHEME) or not port:
            raise UserError(f"device: '{device}' is no serial line; {cure}")
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        for key, value in given.items():
            if key not in NUMBERS:
                raise UserError(f"device: '{device}': nothing is called '{key}'; {did_you_mean(key, NUMBERS)}")
            if not (value.isascii() and value.isdigit() and int(value) > 0):
                raise UserError(f"device: '{device}': {key} must be a whole number above 0, not '{value}'")
        return cls(port, **{key: int(given.get(key, usual)) for key, usual in NUMBERS.items()})


@dataclass(frozen=True)
class Greeting:
    """What a firmware says of itself. `passed`: its network gave the stored output for the stored sample."""

    passed: bool
    hash: bytes
    name: str


class UnansweredError(TargetUnreachableError):
    """Nothing came back that answers a request."""


class Line:
    """An open line. Every method raises TargetUnreachableError when the board doesn't answer or its line is cut."""

    def __init__(self, port: Any, address: Address) -> None:
        self._port, self._address = port, address
        self._sequence = time.monotonic_ns() % 255

    def greet(self) -> Greeting:
        """Waits for a board that may just be starting; TargetUnreachableError for a firmware that speaks otherwise."""
        deadline = time.monotonic() + self._address.timeout
        self._next()
        while True:
            try:
                answer = self._ask(HELLO, b"", HELLO_SECONDS)
                break
            except UnansweredError:
                if time.monotonic() >= deadline:
                    raise
        if len(answer) < 18 or answer[0] != VERSION:
            raise self._unreachable("its firmware speaks another version of the protocol", "export the network again and flash it")
        return Greeting(answer[1] == 1, answer[2:18], answer[18:].decode("ascii", "replace"))

    def load(self, number: int, content: bytes) -> None:
        """Fills an input."""
        step = frames.BODY_BYTES - 5
        for offset in range(0, len(content), step):
            self._request(LOAD, bytes([number]) + offset.to_bytes(4, "little") + content[offset : offset + step])

    def run(self) -> int:
        """One inference; the cycles that it took, modulo 2^32, 0 where the board doesn't count them."""
        return int.from_bytes(self._request(RUN)[:4], "little")

    def read(self, number: int, size: int) -> bytes:
        """The bytes of an output."""
        parts = []
        for offset in range(0, size, frames.BODY_BYTES):
            count = min(frames.BODY_BYTES, size - offset)
            parts.append(self._request(READ, bytes([number]) + offset.to_bytes(4, "little") + bytes([count])))
        return b"".join(parts)

    def _request(self, command: int, body: bytes = b"") -> bytes:
        self._next()
        return self._ask(command, body, self._address.timeout)

    def _next(self) -> None:
        """Numbers from 1 to 255, so that a late answer to an earlier request is known as such."""
        self._sequence = self._sequence % 255 + 1

    def _ask(self, command: int, body: bytes, seconds: float) -> bytes:
        """Sends a request, again where something was garbled, and gives the body of its answer."""
        request = frames.END + frames.encode(bytes([command, self._sequence]) + body)
        garbled = 0
        with _reached(self._address):
            self._port.timeout = seconds
            self._port.write(request)
            while garbled < ATTEMPTS:
                frame = self._port.read_until(frames.END, frames.FRAME_BYTES)
                if not frame:
                    raise UnansweredError(
                        self._words(f"no answer within {seconds:g} s", "is it powered, running this firmware, at this speed?")
                    )
                answer = frames.decode(frame)
                if answer is None or len(answer) < 2 or answer[0] == GARBLED:
                    garbled += 1
                    self._port.write(request)
                elif answer[1] == self._sequence:
                    return self._done(command, answer)
        raise UnansweredError(self._words("what arrives is garbled or no answer", "check the cable, the speed and which firmware it runs"))

    def _done(self, command: int, answer: bytes) -> bytes:
        if answer[0] != DONE:
            raise self._unreachable(f"it refuses command {command} with status {answer[0]}", "export the network again and flash it")
        return answer[2:]

    def _unreachable(self, reason: str, cure: str) -> TargetUnreachableError:
        return TargetUnreachableError(self._words(reason, cure))

    def _words(self, reason: str, cure: str) -> str:
        return f"{self._address.port}: {reason}; {cure}"


@contextmanager
def connect(address: Address) -> Iterator[Line]:
    """The open line, closed at the end. TargetUnreachableError where it can't be opened."""
    import serial

    with _reached(address):
        port = serial.Serial(address.port, address.baud, write_timeout=address.timeout)
    try:
        yield Line(port, address)
    finally:
        port.close()


@contextmanager
def _reached(address: Address) -> Iterator[None]:
    """One line for whatever the port says: pyserial's errors are OSErrors, but for a speed that the port hasn't."""
    try:
        yield
    except (OSError, ValueError) as error:
        cure = "is the board connected, may you use the port, does no other program hold it?"
        raise TargetUnreachableError(f"{address.port}: {' '.join(str(error).split())}; {cure}") from None
