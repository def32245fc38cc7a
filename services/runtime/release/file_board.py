"""The release manifest in a file, for processes of one machine.

Beside `release.json` lie `release.json.history`, the manifests as lines of JSON, and `release.json.lock`,
which those who write hold in turn.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Final

from services.errors import StorageUnavailableError
from services.runtime.files import storage_errors
from services.runtime.release.board import (
    HISTORY,
    check_next,
    decode_history,
    encode_history,
    history_of,
    history_with,
)
from services.runtime.release.following import Followed
from services.runtime.release.manifest import NOTHING_RELEASED, Manifest

#: Seconds between two looks at the file.
_LOOK_S: Final = 0.25


class FileBoard:
    """A `ReleaseBoard` in a file; any number of processes and threads may use it."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._history = self._path.with_name(f"{path.name}.history")

    def read(self) -> Manifest:
        """Read the manifest."""
        text = self._text()
        return Manifest.decode(text) if text.strip() else NOTHING_RELEASED

    def write(self, manifest: Manifest) -> None:
        """Put the next manifest in force."""
        with storage_errors(), self._locked():
            current = self.read()
            check_next(manifest, current)
            # First, as what it holds beyond the manifest in force is passed over.
            _replace(self._history, encode_history(history_with(manifest, current, self._past())))
            _replace(self._path, manifest.encode() + "\n")

    def history(self, limit: int = HISTORY) -> list[Manifest]:
        """List the manifest and those before it."""
        with storage_errors():
            return history_of(self.read(), self._past(), limit)

    def follow(self, stopped: Event) -> Iterator[Manifest]:
        """Yield the manifest in force, and each later one."""
        followed, seen = Followed(), None
        while not stopped.is_set():
            try:
                now = self._state()
                text = self._text() if now != seen else None
                seen = now
            except StorageUnavailableError as error:
                followed.complain(error)
                seen = None
            else:
                if text is not None and (manifest := followed.news(text)) is not None:
                    yield manifest
            stopped.wait(_LOOK_S)

    def _text(self) -> str:
        with storage_errors(), suppress(FileNotFoundError):
            # What is no text is no manifest either, and is told as that.
            return self._path.read_text("utf-8", errors="replace")
        return ""

    def _state(self) -> tuple[int, ...]:
        """Tell what changes whenever the file does."""
        with storage_errors(), suppress(FileNotFoundError):
            found = self._path.stat()
            return found.st_ino, found.st_mtime_ns, found.st_size
        return ()

    def _past(self) -> list[Manifest]:
        """List the manifests of the history, newest first; one not put in force may be among them."""
        with suppress(FileNotFoundError):
            return decode_history(self._history.read_text("utf-8", errors="replace").splitlines())
        return []

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(f"{self._path.name}.lock").open("a") as lock:
            # Let go of when it is closed, also by the death of the process.
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _replace(path: Path, text: str) -> None:
    """Write a file that appears whole, and stays."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
