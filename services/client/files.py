"""Writing results to disk so that a file is either whole or not there."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path


def write_whole(contents: Iterable[tuple[Path, bytes]]) -> None:
    """Write files so that an interruption leaves none of them half-written.

    All are first written aside, in the folder they belong to, and only then renamed into place.

    Args:
        contents: where each file goes and what is in it; missing folders are made.

    Raises:
        OSError: when a folder or a file cannot be written; nothing is left aside.
    """
    aside: list[tuple[Path, Path]] = []
    try:
        for path, content in contents:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".copyist-{secrets.token_hex(8)}.part")
            aside.append((part, path))
            part.write_bytes(content)
        for part, path in aside:
            part.replace(path)
    finally:
        for part, _ in aside:
            part.unlink(missing_ok=True)
