"""The folder for a worker's local files; it goes with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = "copyist-worker-"
_LOCK: Final = "lock"


class Scratch:
    """A folder of its own for this process. What killed processes left behind is removed first.

    A process holds a lock on its folder, which the kernel lets go of when the process ends.

    Attributes:
        folder: where to make files.
    """

    def __init__(self) -> None:
        place = Path(tempfile.gettempdir())
        for left in place.glob(f"{_PREFIX}*"):
            _remove_if_left(left)
        while True:
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
            self._lock = os.open(self.folder / _LOCK, os.O_CREAT | os.O_RDWR)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if os.fstat(self._lock).st_nlink:
                break
            # Another process that begins took it for left, in the moment before it was locked.
            os.close(self._lock)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)


def _remove_if_left(folder: Path) -> None:
    # A process that begins at this moment may not have its lock yet: such a folder is left alone.
    with suppress(OSError):
        lock = os.open(folder / _LOCK, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
