"""One device over SSH (asyncssh): commands and files. Host keys are checked; keys or an agent let us in, never a password."""

import asyncio
import hashlib
import re
import shlex
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from targets.errors import TargetUnreachableError, UserError

if TYPE_CHECKING:
    from asyncssh import SSHClientConnection, SSHCompletedProcess

CONNECT_SECONDS = 60.0
KEEPALIVE_SECONDS, KEEPALIVES = 10.0, 6
"""How often the device is asked for a sign of life, and how many times it may give none before the connection counts as lost."""
PATIENCE_SECONDS = 60.0
"""For so long a command may use no processor time, and a copy move no byte: a busy device is slow, which is no fault."""
ANSWER_SECONDS = 60.0
"""How long saying what a command used may take."""
TELL_SESSION = r"cut -d ' ' -f 6 /proc/$$/stat 2>/dev/null || printf '\n'; "
"""What a command begins with: a line with the session that sshd made for it, empty where the system has no /proc."""
PROCESSOR_TIME = (
    "cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | awk '$4 == {} {{ time += $12 + $13 + $14 + $15 }} END {{ print time + 0 }}'"
)
"""Prints what all processes of a session used so far, in the kernel's ticks (proc(5), from the third field on)."""
ADDRESS = re.compile(r"ssh://(?:(?P<user>[^@:/]+)@)?(?P<host>[^@:/]+|\[[0-9a-fA-F:]+\])(?::(?P<port>\d+))?/?")

T = TypeVar("T")


@dataclass(frozen=True)
class Address:
    """Where a device is: `ssh://user@host:port`, of which user and port may be left to the user's SSH configuration."""

    host: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, device: str) -> "Address":
        """UserError for anything else, above all for a password in it."""
        found = ADDRESS.fullmatch(device)
        if found:
            return cls(found["host"].strip("[]"), found["user"], int(found["port"]) if found["port"] else None)
        if re.fullmatch(r"ssh://[^@/]*:[^@/]*@.*", device):
            raise UserError("device: a password has no place in a recipe; let the device know your key (ssh-copy-id) and leave it out")
        raise UserError(f"device: '{device}' is no address; write ssh://user@host or ssh://user@host:port")

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def url(self) -> str:
        """As a recipe names it."""
        return f"ssh://{self}{f':{self.port}' if self.port else ''}"

    @property
    def login(self) -> str:
        """The command that logs a person in there."""
        return f"ssh {f'-p {self.port} ' if self.port else ''}{self}"


@dataclass(frozen=True)
class Answer:
    """What a command ended with and printed."""

    code: int
    said: str
    complained: str

    @property
    def last_words(self) -> str:
        """The last line that it printed, of its errors where there are some."""
        return ((self.complained.strip() or self.said.strip()).splitlines() or [f"ended with code {self.code}"])[-1]


class Background:
    """An event loop in a thread of its own, so that what is asynchronous can be waited for from anywhere."""

    def __init__(self) -> None:
        self._stopped, ready = asyncio.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()

    def _serve(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            ready.set()
            runner.run(self._until_stopped())

    async def _until_stopped(self) -> None:
        await self._stopped.wait()

    def start(self, work: "Coroutine[Any, Any, T]") -> "Future[T]":
        """Begins the work; the future says what came of it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        """Ends the loop and whatever still runs in it."""
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()


class Device:
    """A connected device; a context, closed at its end. Every method raises TargetUnreachableError when the connection is lost.

    Paths on the device are relative to the login's home folder.
    """

    def __init__(self, address: Address) -> None:
        """Connects, with the keys, the agent and the known hosts that `ssh` itself would use."""
        self.address = address
        self._tasks = Background()
        try:
            self._connection = self._wait(_connected(address), "connecting", CONNECT_SECONDS + 5)
        except BaseException:
            self._tasks.stop()
            raise

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._tasks.start(_closed(self._connection, broken=kind is not None)).exception()
        self._tasks.stop()

    def run(self, command: str, seconds: float | None = None, doing: str | None = None) -> Answer:
        """Runs a line of the device's shell, for so many seconds at most; without a number for as long as it uses the processor.

        `doing` says what for, in the error where that is over; the command's first word if not given.
        """
        session: list[str] = []
        progress = None if seconds else lambda: self._processor_time(session)
        work = _ran(self._connection, command, session)
        done = self._wait(work, doing or command.split(maxsplit=1)[0], seconds or PATIENCE_SECONDS, progress)
        if done.exit_status is None:
            raise TargetUnreachableError(f"{self.address}: the connection was lost; run it again, it goes on from what is there already")
        return Answer(done.exit_status, str(done.stdout), str(done.stderr))

    def _processor_time(self, session: list[str]) -> int:
        """What a command used so far, in ticks; 0 where the device doesn't say."""
        if not "".join(session):
            return 0
        return int(self.run(PROCESSOR_TIME.format(session[0]), ANSWER_SECONDS, "seeing whether a command goes on").said)

    def checked(self, command: str, seconds: float | None = None) -> str:
        """What a command prints that must succeed."""
        answer = self.run(command, seconds)
        if answer.code:
            raise TargetUnreachableError(f"{self.address}: {command.split(maxsplit=1)[0]}: {answer.last_words}")
        return answer.said

    def push(self, files: Mapping[str, Path]) -> None:
        """Copies files to these paths, those left out that have the same content there already; a file is there whole or not at all."""
        there = self.run("sha256sum -- " + " ".join(map(shlex.quote, files)) + " 2>/dev/null").said
        known = {line[66:]: line[:64] for line in there.splitlines()}
        missing = {remote: path for remote, path in files.items() if known.get(remote) != _digest(path)}
        if missing:
            self.checked("mkdir -p " + " ".join(sorted({shlex.quote(remote.rpartition("/")[0] or ".") for remote in missing})))
            blocks = Blocks()
            self._moving(_put(self._connection, missing, blocks), blocks)

    def pull(self, files: Mapping[str, Path]) -> None:
        """Copies files from these paths."""
        blocks = Blocks()
        self._moving(_get(self._connection, files, blocks), blocks)

    def _moving(self, work: "Coroutine[Any, Any, None]", blocks: "Blocks") -> None:
        from asyncssh import SFTPError

        try:
            self._wait(work, "copying files", PATIENCE_SECONDS, lambda: blocks.moved)
        except SFTPError as error:
            room = self.run("df -Pk . | tail -1 | awk '{print $4}'").said.strip()
            raise TargetUnreachableError(f"{self.address}: copying files: {error.reason}; {room or 'unknown'} KB are free there") from None

    def _wait(self, work: "Coroutine[Any, Any, T]", doing: str, seconds: float, progress: "Callable[[], int] | None" = None) -> T:
        """What comes of the work within so many seconds, or while the number that `progress` gives has grown in each such time."""
        import asyncssh

        future, before = self._tasks.start(work), 0
        try:
            while not wait([future], seconds).done:
                now = progress() if progress else 0
                if now <= before and not future.done():
                    future.cancel()
                    passed = "made no progress for" if progress else "took more than"
                    raise TargetUnreachableError(f"{self.address}: {doing} {passed} {seconds:g} seconds")
                before = now
            return future.result()
        except asyncssh.SFTPError:
            raise
        except (asyncssh.Error, asyncssh.KeyImportError, asyncssh.ConfigParseError, OSError) as error:
            raise unreachable(self.address, error) from None
        except KeyboardInterrupt:
            future.cancel()
            raise


def connect(device: str) -> Device:
    """The device at `ssh://user@host[:port]`. TargetUnreachableError with the cure where it can't be reached or won't let us in."""
    try:
        import asyncssh  # noqa: F401
    except ModuleNotFoundError:
        raise UserError("device: asyncssh is not installed; run: pip install 'edgepress[ssh]'") from None
    return Device(Address.parse(device))


async def _connected(address: Address) -> "SSHClientConnection":
    import asyncssh

    given: dict[str, Any] = {"username": address.user} if address.user else {}
    given |= {"port": address.port} if address.port else {}
    return await asyncssh.connect(
        address.host,
        connect_timeout=CONNECT_SECONDS,
        keepalive_interval=KEEPALIVE_SECONDS,
        keepalive_count_max=KEEPALIVES,
        preferred_auth="publickey",
        **given,
    )


async def _ran(connection: "SSHClientConnection", command: str, session: list[str]) -> "SSHCompletedProcess":
    """Runs a command; `session` is told its session as soon as it began."""
    process = await connection.create_process(TELL_SESSION + command, stdin=asyncio.subprocess.DEVNULL, encoding="utf-8", errors="replace")
    session.append((await process.stdout.readline()).strip())
    return await process.wait()


async def _closed(connection: "SSHClientConnection", broken: bool) -> None:
    if broken:
        connection.abort()
    else:
        connection.close()
    await asyncio.wait_for(connection.wait_closed(), KEEPALIVE_SECONDS)


def unreachable(address: Address, error: Exception) -> TargetUnreachableError:
    """One line for whatever asyncssh or the network said, with what to do about it."""
    import asyncssh

    said = " ".join(str(error).split()) or ("no answer" if isinstance(error, TimeoutError) else type(error).__name__)
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return TargetUnreachableError(
            f"{address}: its host key is not known here ({said}); log in once by hand and look at it: {address.login}"
        )
    if isinstance(error, asyncssh.PermissionDenied):
        return TargetUnreachableError(f"{address}: accepts no key of yours; give it one: {address.login.replace('ssh', 'ssh-copy-id', 1)}")
    return TargetUnreachableError(f"{address}: {said}; is it on, and does this work? {address.login}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Blocks:
    """Counts what SFTP moved so far."""

    moved = 0

    def __call__(self, *_: object) -> None:
        """One block of a file more; asyncssh says of which."""
        self.moved += 1


async def _put(connection: "SSHClientConnection", files: Mapping[str, Path], blocks: Blocks) -> None:
    async with connection.start_sftp_client() as sftp:
        for remote, path in files.items():
            await sftp.put(path, f"{remote}.part", progress_handler=blocks)
            await sftp.posix_rename(f"{remote}.part", remote)


async def _get(connection: "SSHClientConnection", files: Mapping[str, Path], blocks: Blocks) -> None:
    async with connection.start_sftp_client() as sftp:
        for remote, path in files.items():
            await sftp.get(remote, path, progress_handler=blocks)
