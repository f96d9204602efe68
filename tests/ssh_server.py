"""An SSH server on loopback for one login: its commands run in a shell of this machine, in a home folder of their own."""

import asyncio
import os
import signal
from pathlib import Path

import asyncssh

from targets.ssh import Background

SECONDS = 20


async def forward(source, sink) -> None:
    while said := await source.read(1 << 16):
        sink.write(said)


class SshServer:
    """Started on a free port. At a command in which `cut_at` occurs the connection is broken, as when the network goes away."""

    def __init__(self, home: Path, client: Path) -> None:
        self.home, self.path, self.cut_at = home, os.environ["PATH"], None
        home.mkdir()
        key = asyncssh.generate_private_key("ssh-ed25519")
        own = asyncssh.generate_private_key("ssh-ed25519")
        keys = client / ".ssh"
        keys.mkdir(mode=0o700)
        own.write_private_key(keys / "id_ed25519")
        own.write_public_key(keys / "id_ed25519.pub")
        self.tasks = Background()
        self.server = self._wait(self._listening(key, own))
        self.port = self.server.sockets[0].getsockname()[1]
        (keys / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key.export_public_key().decode()}")

    @property
    def address(self) -> str:
        return f"ssh://tester@127.0.0.1:{self.port}"

    def close(self) -> None:
        self._wait(self._closed())
        self.tasks.stop()

    def _wait(self, work):
        return self.tasks.start(work).result(SECONDS)

    async def _closed(self):
        self.server.close()
        await self.server.wait_closed()

    async def _listening(self, key, own):
        allowed = asyncssh.import_authorized_keys(own.export_public_key().decode())
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[key],
            authorized_client_keys=allowed,
            process_factory=self._command,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(self.home)),
            encoding=None,
        )

    async def _command(self, process) -> None:
        if self.cut_at is not None and self.cut_at in process.command:
            process.channel.get_connection().abort()
            return
        pipe, environment = asyncio.subprocess.PIPE, {"HOME": str(self.home), "PATH": self.path}
        shell = await asyncio.create_subprocess_shell(
            process.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            cwd=self.home,
            env=environment,
            start_new_session=True,
        )
        try:
            await asyncio.gather(forward(shell.stdout, process.stdout), forward(shell.stderr, process.stderr), shell.wait())
        except asyncio.CancelledError:
            os.killpg(shell.pid, signal.SIGKILL)
            await shell.communicate()
            raise
        process.exit(shell.returncode)
