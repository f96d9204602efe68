"""Run as root by `unshare --net --mount`: a real sshd alone in there, whose login has a Python of an emulated Raspberry Pi.

python board_behind_sshd.py SSHD FOLDER COMMAND…    runs COMMAND with $DEVICE, then takes the sshd down; its exit code is the command's
"""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from targets.raspberry_pi import emulator

PORT = 2222
TITLE = "Raspberry Pi 4 Model B, emulated by QEMU"


def python_of_the_board(folder: Path) -> None:
    """`python3` in the board's own PATH: aarch64, under QEMU, in a view whose device tree says what it is."""
    machine = emulator.prepare("cortex-a72")
    plugin = machine.command.index("-plugin") if "-plugin" in machine.command else None
    command = [*machine.command[:plugin], *machine.command[plugin + 2 :]] if plugin is not None else list(machine.command)
    view = Path(command[command.index("-L") + 1])
    tree = view / "proc/device-tree"
    tree.mkdir(parents=True, exist_ok=True)
    (tree / "model").write_text(TITLE)
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in machine.environment.items() if name != "PATH")
    program = folder / "bin/python3"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n{exports}exec {shlex.join(command)} "$@"\n')
    program.chmod(0o755)


def keys(folder: Path) -> None:
    """A host key, a key of the client's, and each told of the other."""
    client = folder / "client/.ssh"
    client.mkdir(parents=True, mode=0o700)
    for path in (folder / "host", client / "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    (folder / "authorized").write_text((client / "id_ed25519.pub").read_text())
    (client / "known_hosts").write_text(f"[127.0.0.1]:{PORT} {(folder / 'host.pub').read_text()}")


def sshd(program: str, folder: Path) -> "subprocess.Popen[bytes]":
    """The server; each of its commands runs with the board's home and PATH."""
    home = folder / "home"
    home.mkdir()
    login = folder / "login"
    login.write_text(
        f"#!/bin/sh\nexport HOME={home} PATH={folder}/bin:$PATH\ncd $HOME\n"
        'case "$SSH_ORIGINAL_COMMAND" in *sftp-server*) exec /usr/lib/openssh/sftp-server;; *) exec sh -c "$SSH_ORIGINAL_COMMAND";; esac\n'
    )
    login.chmod(0o755)
    settings = {
        "Port": PORT,
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
    return subprocess.Popen([program, "-D", "-e", "-f", "/dev/null", *chosen], stderr=(folder / "sshd.log").open("wb"))


def main(program: str, folder: Path, command: list[str]) -> int:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    python_of_the_board(folder)
    keys(folder)
    environment = os.environ | {"HOME": str(folder / "client"), "DEVICE": f"ssh://root@127.0.0.1:{PORT}"}
    with sshd(program, folder) as server:
        time.sleep(1)
        try:
            return subprocess.run(command, env=environment, check=False).returncode
        finally:
            server.terminate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
