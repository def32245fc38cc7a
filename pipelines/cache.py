"""Where large downloads and made data live: outside the tree, under one folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """The folder `parts` of Copyist's cache, made if need be.

    The root is `COPYIST_CACHE`, or `~/.cache/copyist`.
    """
    root = Path(os.environ.get("COPYIST_CACHE", Path.home() / ".cache" / "copyist"))
    folder = root.joinpath(*parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
