"""The folder where what is costly to make again is kept between runs: built firmware, root file systems, passes' results."""

import os
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """A folder of the user's cache, made if missing: `$EDGEPRESS_CACHE`, else `edgepress` in the user's usual cache folder."""
    named = os.environ.get("EDGEPRESS_CACHE")
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgepress"
    folder = (Path(named) if named else usual).joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
