"""Prints as JSON what a Linux device is and how it is just now. Self-contained, standard library only, Python 3.7 or later.

`model` is what the device calls itself; `runtimes` the newest runtime for each format, None where there is none; `governor`, `mhz`,
`celsius` and `throttled` (flags of the Raspberry Pi's firmware, bit 0 under-voltage, 1 capped, 2 throttled, 3 hot) are None where the
system doesn't say.
"""

import importlib
import json
import platform
from pathlib import Path
from typing import Any, Dict, Optional  # noqa: UP035  Python 3.7

RUNTIMES = {"tflite": ("ai_edge_litert", "tflite_runtime"), "onnx": ("onnxruntime",)}
CPU = "/sys/devices/system/cpu/cpu0/cpufreq/"
THROTTLED = "/sys/devices/platform/soc/soc:firmware/get_throttled"


def said(path: str) -> Optional[str]:  # noqa: UP045
    """A small file of the system, if it can be read."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace").strip().strip("\0")
    except OSError:
        return None
    return text or None


def number(path: str, base: int = 10) -> Optional[int]:  # noqa: UP045
    """A number in such a file."""
    try:
        return int(said(path) or "", base)
    except ValueError:
        return None


def version(modules: Any) -> Optional[str]:  # noqa: UP045
    """The first of these modules that can be imported, and its version; None if none can."""
    for name in modules:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        return str(name).replace("_", "-") + " " + str(getattr(module, "__version__", "of unknown version"))
    return None


def facts() -> Dict[str, Any]:  # noqa: UP006
    """What this device is and how it is now."""
    kilohertz, millidegrees = number(CPU + "scaling_cur_freq"), number("/sys/class/thermal/thermal_zone0/temp")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "model": said("/proc/device-tree/model") or platform.node() or "a device without a name",
        "runtimes": {kind: version(("numpy",)) and version(modules) for kind, modules in RUNTIMES.items()},
        "governor": said(CPU + "scaling_governor"),
        "mhz": kilohertz and kilohertz / 1000,
        "celsius": millidegrees and millidegrees / 1000,
        "throttled": number(THROTTLED, 16),
    }


if __name__ == "__main__":
    print(json.dumps(facts()))  # noqa: T201  what it is for
