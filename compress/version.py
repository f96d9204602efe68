"""The versions that a result depends on."""

import functools
import hashlib
from importlib import metadata
from pathlib import Path

PACKAGES = ("edgepress", "torch", "litert-torch", "ai-edge-litert", "onnx", "onnxruntime", "numpy", "unicorn", "ziglang")


@functools.cache
def versions() -> dict[str, str]:
    """Installed version of each package that edgepress works with; those missing are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def code_digest() -> str:
    """A hash of edgepress's own passes and what they use, so that changed code never meets an old result."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
