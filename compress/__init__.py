"""Shrink trained networks, export them and measure the exported files: the same job as the command's, from Python."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compress.api import apply, evaluate, export, load, load_data, make_context, profile, run

__all__ = ["apply", "evaluate", "export", "load", "load_data", "make_context", "profile", "run"]


def __getattr__(name: str) -> Any:
    """Imports torch and the rest when a function is first used, so that importing this package costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'compress' has no attribute '{name}'")
    from compress import api

    return getattr(api, name)
