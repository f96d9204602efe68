"""A network, mounts and processes of one's own, all of which end with the command that has them. Needs root."""

import os
import shutil
import socket
import subprocess
import sys
import time

UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
INSIDE = "EDGEPRESS_TEST_ALONE"
SECONDS = 30


def allowed() -> bool:
    """Whether this user may have them."""
    return bool(shutil.which(UNSHARE[0])) and subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


def inside() -> bool:
    """Whether this process was started by `again`."""
    return INSIDE in os.environ


def again(script: str, words: list[str]) -> int:
    """Runs a script once more, alone; its exit code."""
    return subprocess.run([*UNSHARE, sys.executable, script, *words], env=os.environ | {INSIDE: "1"}, check=False).returncode


def loopback() -> None:
    """Switches on the only network that there is."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def answers(server: "subprocess.Popen[bytes]", *ports: int) -> bool:
    """Waits for a server; whether it listens on all of these ports of the loopback."""
    end = time.monotonic() + SECONDS
    while any(refused(port) for port in ports):
        if server.poll() is not None or time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
