"""Which parts of this machine serve which feature, and how to get what is missing."""

import shutil
from dataclasses import dataclass
from importlib import metadata

from targets import boards
from targets.cache import cache_folder

PACKAGES = {
    "passes and training": ("torch", "lightning-fabric"),
    "TFLite export": ("litert-torch",),
    "TFLite on this machine": ("ai-edge-litert",),
    "ONNX export": ("onnx", "onnxscript"),
    "ONNX on this machine": ("onnxruntime",),
    "microcontroller emulation": ("unicorn", "ziglang", "pyelftools"),
    "boards over SSH": ("asyncssh",),
    "phones over adb": ("adb-shell",),
    "boards over serial lines": ("pyserial",),
    "Ethos-U estimates": ("ethos-u-vela",),
    "TFLM's arena beside ours": ("tflite-micro",),
    "Neural Compressor as the engine of quantize": ("neural-compressor", "accelerate", "auto-round"),
    "Keras files": ("h5py",),
    "TensorFlow SavedModels": ("tensorflow",),
    "Hugging Face folders": ("transformers",),
}
EXTRAS = {
    "asyncssh": "ssh",
    "adb-shell": "phone",
    "pyserial": "serial",
    "ethos-u-vela": "ethos-u",
    "tflite-micro": "tflm",
    "tensorflow": "tensorflow",
    "transformers": "transformers",
    **dict.fromkeys(("neural-compressor", "accelerate", "auto-round"), "neural-compressor"),
}
"""The extra of edgepress that brings a package which not everybody needs."""

STAND_INS = {
    "tests of boards over SSH (optional)": ("sshd", "sudo apt install openssh-server"),
    "tests of phones over adb (optional)": ("adbd", "sudo apt install adbd (Debian's backports)"),
}
"""Programs that stand in for devices in edgepress's own tests."""
SYSTEM_FOLDERS = "/usr/sbin:/usr/lib/android-sdk/platform-tools"
"""Where they are and a user's PATH may not lead."""


@dataclass(frozen=True)
class Part:
    """One part of the machine: the feature it serves, what was found, and the cure where it is missing."""

    feature: str
    part: str
    found: str | None
    cure: str | None = None


def examine() -> list[Part]:
    """Every part, packages first, then what each kind of target needs besides them."""
    parts = [_package(feature, name) for feature, names in PACKAGES.items() for name in names]
    parts += [part for kind in boards.kinds() for part in targets_of(kind)]
    return [*parts, *stand_ins(), _gpu(), Part("results kept between runs", "cache", str(cache_folder()))]


def _package(feature: str, name: str) -> Part:
    try:
        return Part(feature, name, metadata.version(name))
    except metadata.PackageNotFoundError:
        wanted = f"'edgepress[{EXTRAS[name]}]'" if name in EXTRAS else name
        return Part(feature, name, None, f"pip install {wanted}")


def stand_ins() -> list[Part]:
    """The programs that edgepress's own tests run in the place of devices."""
    found = {name: shutil.which(name) or shutil.which(name, path=SYSTEM_FOLDERS) for name, _ in STAND_INS.values()}
    return [Part(feature, name, found[name], None if found[name] else f"run: {cure}") for feature, (name, cure) in STAND_INS.items()]


def targets_of(kind: str) -> list[Part]:
    """A part for all boards of a target kind that the same thing is missing for, and one for those that are ready; one board as example."""
    examples: dict[str, Part] = {}
    for name in boards.names():
        if boards.load(name).target == kind:
            problem = boards.target(name).available()
            cure = f"{problem.reason}; {problem.cure}" if problem else None
            examples.setdefault(cure or "", Part(f"target kind {kind}", f"e.g. {name}", None if problem else "ready", cure))
    return list(examples.values())


def _gpu() -> Part:
    import torch

    found = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return Part("faster training (optional)", "GPU", found, None if found else "not needed; training runs on the CPU")
