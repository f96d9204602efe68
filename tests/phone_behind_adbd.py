"""A real adbd, alone on a loopback of its own, and a stand-in for benchmark_model. As root:

python tests/phone_behind_adbd.py COMMAND…

runs COMMAND where `adb://127.0.0.1:5555` is a phone and $BENCHMARK_MODEL a program for it, then ends whatever is left; the exit code is
the command's.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import alone

PORT = 5555
STAND_IN = Path(__file__).with_name("benchmark_model_stand_in.py")
DATA = Path("/data")
TITLE = f"no phone, but adbd on {platform.system()} {platform.machine()}"


def adbd() -> str | None:
    """Where the daemon is, if anywhere; $EDGEPRESS_TEST_ADBD may say it."""
    return os.environ.get("EDGEPRESS_TEST_ADBD") or shutil.which("adbd", path="/usr/lib/android-sdk/platform-tools")


@contextmanager
def mount_point():
    """Android's /data: an empty folder that is not left behind."""
    there = DATA.exists()
    DATA.mkdir(exist_ok=True)
    yield
    if not there:
        DATA.rmdir()


def script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)


def main(command: list[str]) -> int:
    if not alone.inside():
        with mount_point():
            return alone.again(__file__, command)
    program = adbd()
    if program is None:
        sys.exit("no adbd here; run: sudo apt install adbd (Debian's backports)")
    alone.loopback()
    for folder in (DATA, DATA / "local" / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", str(folder)], check=True)
    with tempfile.TemporaryDirectory(prefix="edgepress-phone-") as name:
        benchmark_model, own = Path(name) / "benchmark_model", {"PATH": f"{name}{os.pathsep}{os.environ['PATH']}"}
        script(benchmark_model, f'exec {shlex.join([sys.executable, str(STAND_IN)])} "$@"')
        script(Path(name) / "getprop", f'[ "$1" != ro.product.model ] || echo "{TITLE}"')
        with subprocess.Popen([program], env=os.environ | own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
            try:
                if not alone.answers(daemon, PORT):
                    sys.exit("adbd does not answer")
                return subprocess.run(command, env=os.environ | {"BENCHMARK_MODEL": str(benchmark_model)}, check=False).returncode
            finally:
                daemon.terminate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
