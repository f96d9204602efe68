"""A real sshd, alone on a loopback of its own, whose logins have the Python of an emulated Raspberry Pi. As root:

python tests/board_behind_sshd.py COMMAND…

runs COMMAND where `ssh://four` and `ssh://five` are devices, then ends whatever is left; the exit code is the command's. $BOARDS is the
folder that their homes are in: `four/home` and `five/home`.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import alone

from targets import boards
from targets.cache import cache_folder
from targets.raspberry_pi import emulator

HOSTS = {"four": (2222, "raspberry-pi-4"), "five": (2223, "raspberry-pi-5")}
"""What `ssh` calls each, its port, and the board that it is."""


def sshd() -> str | None:
    """Where the server is, if anywhere."""
    return shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")


def python_of_the_board(folder: Path, name: str) -> None:
    """`python3` in the board's own PATH: aarch64, under QEMU, in a view whose device tree says what it is."""
    board = boards.load(name)
    machine = emulator.prepare(str(board.core))
    command = list(machine.command)
    if "-plugin" in command:
        plugin = command.index("-plugin")
        del command[plugin : plugin + 2]
    tree = Path(command[command.index("-L") + 1]) / "proc/device-tree"
    tree.mkdir(parents=True, exist_ok=True)
    (tree / "model").write_text(f"{board.title}, emulated by QEMU")
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in machine.environment.items() if name != "PATH")
    program = folder / "bin/python3"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\n{exports}exec {shlex.join(command)} "$@"\n')
    program.chmod(0o755)


def keys(folder: Path) -> None:
    """A host key, a key of the client's, each told of the other, and the client's names for the boards."""
    client = folder / "client/.ssh"
    client.mkdir(parents=True, mode=0o700)
    for path in (folder / "host", client / "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    (folder / "authorized").write_text((client / "id_ed25519.pub").read_text())
    own = (folder / "host.pub").read_text()
    (client / "known_hosts").write_text("".join(f"[127.0.0.1]:{port} {own}" for port, _ in HOSTS.values()))
    hosts = [f"Host {host}\n  HostName 127.0.0.1\n  Port {port}\n  User root\n" for host, (port, _) in HOSTS.items()]
    (client / "config").write_text("".join(hosts))


def start(program: str, folder: Path) -> "subprocess.Popen[bytes]":
    """The server, once it answers; each of its commands runs with the home and PATH of the board whose port was called."""
    cases = "".join(f"  {port}) BOARD={folder}/{host};;\n" for host, (port, _) in HOSTS.items())
    login = folder / "login"
    login.write_text(
        f'#!/bin/sh\ncase "${{SSH_CONNECTION##* }}" in\n{cases}esac\nexport HOME=$BOARD/home PATH=$BOARD/bin:$PATH\ncd "$HOME"\n'
        'case "$SSH_ORIGINAL_COMMAND" in *sftp-server*) exec /usr/lib/openssh/sftp-server;; *) exec sh -c "$SSH_ORIGINAL_COMMAND";; esac\n'
    )
    login.chmod(0o755)
    settings = {
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "yes",
        "StrictModes": "no",
        "UsePAM": "no",
        "PidFile": "none",
        "ForceCommand": login,
        "Subsystem": "sftp /usr/lib/openssh/sftp-server",
    }
    Path("/run/sshd").mkdir(exist_ok=True)
    chosen = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    chosen += [word for port, _ in HOSTS.values() for word in ("-p", str(port))]
    server = subprocess.Popen([program, "-D", "-e", "-f", "/dev/null", *chosen], stderr=(folder / "sshd.log").open("wb"))
    if not alone.answers(server, *(port for port, _ in HOSTS.values())):
        sys.exit(f"sshd does not answer: {(folder / 'sshd.log').read_text()}")
    return server


def main(command: list[str]) -> int:
    if not alone.inside():
        return alone.again(__file__, command)
    program = sshd()
    missing = [problem for _, name in HOSTS.values() if (problem := boards.target(name).available())]
    if program is None or missing:
        sys.exit(str(missing[0]) if missing else "no sshd here; run: sudo apt install openssh-server")
    alone.loopback()
    with tempfile.TemporaryDirectory(prefix="edgepress-boards-") as name:
        folder = Path(name)
        for host, (_, board) in HOSTS.items():
            python_of_the_board(folder / host, board)
            (folder / host / "home").mkdir()
        keys(folder)
        own = {"HOME": str(folder / "client"), "BOARDS": str(folder), "EDGEPRESS_CACHE": str(cache_folder())}
        with start(program, folder) as server:
            try:
                return subprocess.run(command, env=os.environ | own, check=False).returncode
            finally:
                server.terminate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
