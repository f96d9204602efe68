"""Neural Compressor itself, imported where it is first needed."""

import contextlib
import tempfile
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from compress.lowering.quiet import quiet
from targets.errors import UserError

PACKAGES = ("neural-compressor", "accelerate", "auto-round")


def require() -> None:
    """UserError with the cure where a package isn't installed."""
    for package in PACKAGES:
        try:
            version(package)
        except PackageNotFoundError:
            cure = "pip install 'edgepress[neural-compressor]'"
            raise UserError(f"quantize: engine neural-compressor needs {package}, which isn't installed; {cure}") from None


def tool() -> Any:
    """Its module of configurations, `prepare` and `convert`."""
    with quiet(), tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        import transformers  # noqa: F401, I001  first, or some of its modules miss it later
        import neural_compressor.torch.algorithms.layer_wise  # makes a workspace where it is imported
        import neural_compressor.torch.quantization

    return neural_compressor.torch.quantization
