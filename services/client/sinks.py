"""Where an answer goes while it comes in: events to whoever follows a job, a file's bytes to the disk."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import httpx

from services.client.errors import BadAnswerError
from services.client.jobs import Job, parse_job

#: Far more than any event holds; a longer one is no event of Copyist's.
_LONGEST_EVENT_BYTES: Final = 16 << 20
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/\d+")


class Sink(Protocol):
    """Takes a good answer's body piece by piece.

    Attributes:
        blocking: whether taking a piece may take a while, as a disk does.
    """

    blocking: bool

    def begin(self, response: httpx.Response) -> None:
        """The answer's head has come."""

    def take(self, piece: bytes) -> bool:
        """Take a piece of the body; whether that is enough."""
        ...

    def end(self) -> None:
        """No more will come, whether or not all has."""


class EventSink:
    """Reads a job's server-sent events.

    Attributes:
        job: as the last event told it; None before the first.
        last_id: the last event's id; empty before the first.
    """

    blocking = False

    def __init__(self, on_change: Callable[[Job], None]) -> None:
        self.job: Job | None = None
        self.last_id = ""
        self._on_change = on_change
        self._rest = b""

    def begin(self, response: httpx.Response) -> None:
        """Begin with nothing."""
        self._rest = b""

    def take(self, piece: bytes) -> bool:
        """Read the events that are whole; the job's end is enough."""
        *blocks, self._rest = (self._rest + piece).replace(b"\r\n", b"\n").split(b"\n\n")
        if len(self._rest) > _LONGEST_EVENT_BYTES:
            raise BadAnswerError("The service's stream of events never ends an event.")
        for block in blocks:
            self._read(block.decode(errors="replace"))
        return self.job is not None and self.job.state.finished

    def end(self) -> None:
        """Nothing to put away."""

    def _read(self, block: str) -> None:
        fields = dict(line.partition(": ")[::2] for line in block.split("\n"))
        if "data" not in fields:
            return
        try:
            told = json.loads(fields["data"])
        except ValueError as error:
            raise BadAnswerError(f"The service's event is no JSON ({error}).") from error
        self.job = parse_job(told)
        self.last_id = fields.get("id", self.last_id)
        self._on_change(self.job)


class FileSink:
    """Writes a file's bytes behind those that are there already, and keeps their digest.

    Attributes:
        size: bytes that are there.
        sha256: of them, in hex.
    """

    blocking = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = io.BytesIO()
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Digest of all bytes that are there."""
        return self._digest.hexdigest()

    def begin(self, response: httpx.Response) -> None:
        """Go on where the answer does; a whole file starts over."""
        start = 0
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            start = int(found[1]) if found else -1
        self._digest = hashlib.sha256()
        self.size = 0
        self._file = self._path.open("r+b" if start else "wb")
        while block := self._file.read(1 << 20) if start else b"":
            self._digest.update(block)
            self.size += len(block)
        if self.size != start:
            raise BadAnswerError("The service gave another part of the file than was asked for.")

    def take(self, piece: bytes) -> bool:
        """Write a piece."""
        self._file.write(piece)
        self._digest.update(piece)
        self.size += len(piece)
        return False

    def end(self) -> None:
        """Close the file."""
        self._file.close()
