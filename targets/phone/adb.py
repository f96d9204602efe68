"""One phone over adb: files pushed once, commands run with their exit codes (adb-shell, pure Python)."""

import hashlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from targets.cache import cache_folder
from targets.errors import TargetUnreachableError, UserError

FOLDER = "/data/local/tmp/edgepress"
"""The folder of Android that any program of `adb shell` may write to and run files in."""

AUTHORIZATION_SECONDS = 30.0
SILENCE_SECONDS = 200.0
"""benchmark_model says nothing while it runs, by itself at most 150 seconds."""


class Phone:
    """A connected phone; a context, closed at its end. Every method raises TargetUnreachableError when the phone goes away."""

    def __init__(self, device: Any, name: str) -> None:
        self._device, self._name = device, name

    def __enter__(self) -> "Phone":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._device.close()

    def shell(self, command: Sequence[str]) -> tuple[int, str]:
        """Runs a command; its exit code and what it printed."""
        line = f"{shlex.join(command)} 2>&1; echo exit:$?"
        try:
            text = str(self._device.shell(line, read_timeout_s=SILENCE_SECONDS))
        except _errors() as error:
            raise unreachable(self._name, error) from None
        said, _, code = text.rpartition("exit:")
        return (int(code), said) if code.strip().isdigit() else (-1, text)

    def push(self, path: Path, executable: bool = False) -> str:
        """The path on the phone of a copy of this file, pushed unless the same content is there already."""
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        remote = f"{FOLDER}/{digest[:16]}-{path.name}"
        _, there = self.shell(["sha256sum", remote])
        if digest not in there:
            self.shell(["mkdir", "-p", FOLDER])
            try:
                self._device.push(str(path), remote, st_mode=0o100755 if executable else 0o100644, read_timeout_s=SILENCE_SECONDS)
            except _errors() as error:
                raise unreachable(self._name, error) from None
        if executable:
            self.shell(["chmod", "755", remote])
        return remote

    def pull(self, remote: str, path: Path) -> None:
        """Copies a file of the phone to this path."""
        try:
            self._device.pull(remote, str(path), read_timeout_s=SILENCE_SECONDS)
        except _errors() as error:
            raise unreachable(self._name, error) from None

    def title(self) -> str:
        """What the phone calls itself; where it has no name, its address and what it runs."""
        model, release = (self._said(["getprop", key]) for key in ("ro.product.model", "ro.build.version.release"))
        if not model:
            return ", ".join(filter(None, (self._name, self._said(["uname", "-sm"]))))
        return f"{model}, Android {release}" if release else model

    def _said(self, command: Sequence[str]) -> str:
        """What a command prints; nothing where it fails."""
        code, text = self.shell(command)
        return "" if code else text.strip()


def connect(device: str | None) -> Phone:
    """The phone at `adb://HOST:PORT` or `adb://SERIAL`, or the only one on USB. TargetUnreachableError where it doesn't answer."""
    from adb_shell.adb_device import AdbDeviceTcp, AdbDeviceUsb

    if device is not None and not device.startswith("adb://"):
        raise UserError(f"device: '{device}' is no phone; name one as adb://HOST:PORT or adb://SERIAL")
    name = (device or "adb://").removeprefix("adb://")
    host, colon, port = name.rpartition(":")
    try:
        found = AdbDeviceTcp(host, int(port)) if colon and port.isdigit() else AdbDeviceUsb(serial=name or None)
        found.connect(rsa_keys=[_key()], auth_timeout_s=AUTHORIZATION_SECONDS)
    except _errors() as error:
        raise unreachable(name or "the phone on USB", error) from None
    return Phone(found, name or "phone on USB")


def unreachable(name: str, error: Exception) -> TargetUnreachableError:
    """One line for whatever adb-shell, USB or the network said."""
    said = " ".join(str(error).split()) or type(error).__name__
    cure = "is USB debugging on and allowed for this computer? a running adb server holds the phone until 'adb kill-server'"
    return TargetUnreachableError(f"{name}: {said}; {cure}")


def _errors() -> tuple[type[Exception], ...]:
    """What adb-shell raises, which has no common base class, and what it lets through of USB and the network."""
    from adb_shell import exceptions

    own = [value for value in vars(exceptions).values() if isinstance(value, type) and issubclass(value, Exception)]
    usb = [sys.modules["usb1"].USBError] if "usb1" in sys.modules else []
    return (*own, *usb, OSError)


def _key() -> Any:
    """The user's own adb key, which the phone may know already, else one made for this cache."""
    from adb_shell.auth.keygen import keygen
    from adb_shell.auth.sign_pythonrsa import PythonRSASigner

    path = Path.home() / ".android" / "adbkey"
    if not path.is_file():
        path = cache_folder("adb") / "adbkey"
        if not path.is_file():
            keygen(str(path))
    public = path.with_name("adbkey.pub")
    return PythonRSASigner(public.read_text(encoding="ascii") if public.is_file() else "", path.read_text(encoding="ascii"))
