"""The arm64 root file system: Debian's Python and the runtimes' aarch64 wheels, unpacked once into the user's cache.

Nothing is installed on the machine: `apt` works with a configuration and a state of its own, and packages are only unpacked.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from targets.cache import cache_folder
from targets.errors import UserError

SETUP = "edgepress targets setup raspberry-pi"
DEBIAN_PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6", "libgomp1")
RUNTIMES = ("ai-edge-litert", "onnxruntime", "numpy")
RUNTIMES_MEGABYTES = 55
UNPACKED_MEGABYTES = 260
PLATFORMS = ("manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, 37)))
"""Wheels for the C library of Debian 12 (glibc 2.36) and older."""


@dataclass(frozen=True)
class Root:
    """A root file system in `folder`: Debian's files, the Python packages beside them, and the name of its Python."""

    folder: Path

    @property
    def files(self) -> Path:
        """Where `/` is."""
        return self.folder / "root"

    @property
    def packages(self) -> Path:
        """The Python packages, a folder for each set of versions."""
        return self.folder / "-".join(["packages", *(version(name) for name in RUNTIMES)])

    @property
    def python(self) -> str:
        """Like `python3.11`. UserError where the root file system has none."""
        found = sorted(path.name for path in (self.files / "usr" / "bin").glob("python3.*") if path.name[8:].isdigit())
        if not found:
            raise UserError(f"{self.files}: has no Python; remove {self.folder} and run: {SETUP}")
        return found[-1]


def installed() -> Root | None:
    """The root file system with the same versions of the runtimes as this environment has, if it is complete."""
    root = Root(cache_folder("raspberry-pi"))
    return root if root.files.is_dir() and root.packages.is_dir() else None


def setup(say: Callable[[str], None]) -> Path:
    """Builds the root file system in the user's cache and gives its folder; `say` is told of each step.

    What an earlier, broken-off call has done is kept. Raises UserError where a tool is missing or a download fails.
    """
    for tool, package in (("qemu-aarch64", "qemu-user"), ("apt-get", "apt"), ("dpkg", "dpkg")):
        if shutil.which(tool) is None and not (package == "qemu-user" and shutil.which("qemu-aarch64-static")):
            raise UserError(f"{tool} is not installed; run: sudo apt install {package} (on Debian 12 or a system made from it)")
    root = Root(cache_folder("raspberry-pi"))
    if not root.files.is_dir():
        _unpack_debian(root, say)
    if not root.packages.is_dir():
        _install_runtimes(root, say)
    return root.folder


def _unpack_debian(root: Root, say: Callable[[str], None]) -> None:
    state, unfinished = root.folder / "apt", root.folder / "root.unfinished"
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    say("reading Debian's list of arm64 packages")
    _run([*_apt(state), "update"])
    sizes = [int(size) for size in re.findall(r"^'\S+' \S+ (\d+)", _run([*_apt(state), *_install(), "--print-uris", "-qq"]), re.MULTILINE)]
    total = sum(sizes) / 1e6 + RUNTIMES_MEGABYTES
    say(f"{total:.0f} MB will be downloaded and fill {UNPACKED_MEGABYTES} MB of {root.folder}")
    say(f"downloading {len(sizes)} Debian packages ({sum(sizes) / 1e6:.0f} MB)")
    _run([*_apt(state), *_install(), "--download-only", "-qq"])
    say("unpacking them")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for package in sorted((state / "archives").glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(unfinished)])
    for name in ("bin", "lib", "sbin"):
        if not (unfinished / name).exists():
            (unfinished / name).symlink_to(f"usr/{name}")
    unfinished.rename(root.files)
    shutil.rmtree(state)


def _apt(state: Path) -> list[str]:
    """The machine's own sources, for another architecture, with state and cache apart; as this user, whoever that is."""
    options = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "",
        "Dir::State": str(state),
        "Dir::State::lists": str(state / "lists"),
        "Dir::State::status": "/dev/null",
        "Dir::Cache": str(state),
        "Dir::Cache::archives": str(state / "archives"),
    }
    return ["apt-get", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]


def _install() -> list[str]:
    return ["install", "--yes", "--no-install-recommends", *DEBIAN_PACKAGES]


def _install_runtimes(root: Root, say: Callable[[str], None]) -> None:
    unfinished = root.folder / "packages.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    say(f"downloading and unpacking {', '.join(RUNTIMES)} for aarch64 (about {RUNTIMES_MEGABYTES} MB)")
    platforms = [part for name in PLATFORMS for part in ("--platform", name)]
    wanted = [f"{name}=={version(name)}" for name in RUNTIMES]
    python = root.python.removeprefix("python")
    options = ["--quiet", "--only-binary", ":all:", "--implementation", "cp", "--python-version", python, *platforms]
    _run([sys.executable, "-m", "pip", "install", *options, "--target", str(unfinished), *wanted])
    unfinished.rename(root.packages)


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
        errors = [line for line in said if line.lower().startswith(("e:", "error"))]
        reason = (errors or said or [f"exit code {done.returncode}"])[-1]
        raise UserError(f"{Path(command[0]).name} stopped: {reason}; mend that and run again: {SETUP}")
    return done.stdout
