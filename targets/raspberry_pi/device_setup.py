"""A virtual environment with the runtimes on a device, made over SSH when the user asks for it."""

from collections.abc import Callable

from targets import ssh
from targets.errors import TargetUnreachableError
from targets.raspberry_pi.device import FOLDER, PYTHON, state

INSTALL_SECONDS = 1800.0
LITERT_SINCE = (3, 10)
"""The oldest Python for which ai-edge-litert has wheels; tflite-runtime, its predecessor, wants numpy 1."""
LITERT = ("ai-edge-litert", "numpy")
TFLITE_RUNTIME = ("tflite-runtime", "numpy<2")


def setup_device(device: str, say: Callable[[str], None]) -> str:
    """Makes the environment at `ssh://user@host[:port]`, or completes one that is there; gives its folder.

    `say` is told of each step. TargetUnreachableError where the device can't be reached, or has no Python or no network.
    """
    with ssh.connect(device) as connection:
        found = state(connection, "python3").facts
        say(f"{connection.address}: {found['model']}, {found['machine']}, Python {found['python']}")
        say(f"making {FOLDER}/venv there")
        made = connection.run(f"[ -x {PYTHON} ] || python3 -m venv {FOLDER}/venv", INSTALL_SECONDS)
        if made.code:
            raise TargetUnreachableError(
                f"{connection.address}: its Python makes no environments; run there: sudo apt install python3-venv"
            )
        version = tuple(int(part) for part in str(found["python"]).split(".")[:2])
        for packages in (LITERT if version >= LITERT_SINCE else TFLITE_RUNTIME, ("onnxruntime",)):
            say(f"installing {' and '.join(packages)}")
            quoted = " ".join(f"'{name}'" for name in packages)
            connection.checked(f"{PYTHON} -m pip install --quiet --disable-pip-version-check {quoted}", INSTALL_SECONDS)
        runtimes = state(connection, PYTHON).facts["runtimes"]
        say(", ".join(str(name) for name in runtimes.values() if name))
        return f"{FOLDER}/venv"
