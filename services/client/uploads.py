"""Audio on its way out: read in pieces from a path, bytes or a file, as one multipart body."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import anyio.to_thread

#: What can be transcribed: a path, the bytes themselves, or a file open for reading in binary.
Audio = str | Path | bytes | bytearray | memoryview | BinaryIO

PIECE_BYTES: Final = 256 * 1024


class Upload:
    """One recording to send, never held in memory whole unless it came so.

    Attributes:
        name: the file name told to the service, which names its files after it.
        size: bytes in all, or None when that cannot be known (a pipe).
    """

    def __init__(self, audio: Audio, name: str | None = None) -> None:
        """Look at the audio without reading it.

        Args:
            audio: a path, bytes, or a binary file, which is sent from where it stands.
            name: the file name to tell the service; by default the path's own.

        Raises:
            OSError: when a path cannot be read.
        """
        self._audio = audio
        self._start: int | None = 0
        self._taken = False
        if isinstance(audio, str | Path):
            with Path(audio).open("rb") as file:  # an absent or forbidden file is told before any sending
                self.size: int | None = os.fstat(file.fileno()).st_size
            self.name = name or Path(audio).name
        elif isinstance(audio, bytes | bytearray | memoryview):
            self.size = memoryview(audio).nbytes
            self.name = name or "recording"
        else:
            self._start, self.size = _extent(audio)
            own_name = getattr(audio, "name", None)
            self.name = name or (Path(own_name).name if isinstance(own_name, str) else "recording")

    @property
    def replayable(self) -> bool:
        """Whether the audio can be sent (once more) from its start."""
        return self._start is not None or not self._taken

    def pieces(self) -> Iterator[bytes]:
        """The audio from its start, in pieces of `PIECE_BYTES` at most."""
        self._taken = True
        if isinstance(self._audio, str | Path):
            with Path(self._audio).open("rb") as file:
                yield from _read(file)
        elif isinstance(self._audio, bytes | bytearray | memoryview):
            view = memoryview(self._audio).cast("B")
            for start in range(0, len(view), PIECE_BYTES):
                yield bytes(view[start : start + PIECE_BYTES])
        else:
            if self._start is not None:
                self._audio.seek(self._start)
            yield from _read(self._audio)


class MultipartBody:
    """A multipart/form-data body (RFC 7578): plain fields first, then the recording as `file`.

    Iterating gives the bytes to send, synchronously or not, each time from the start. httpx's own
    multipart rewinds a file to its beginning rather than to where it stood, reads on the event loop
    and tells no progress; hence this one.

    Attributes:
        headers: `Content-Type`, and `Content-Length` where the size is known.
    """

    def __init__(
        self,
        upload: Upload,
        fields: Mapping[str, str],
        on_sent: Callable[[int], None] = lambda sent: None,
    ) -> None:
        """Frame an upload.

        Args:
            upload: the recording.
            fields: the form's other fields.
            on_sent: told how many of the recording's bytes were handed to the connection so far.
        """
        boundary = secrets.token_hex(16)
        self._upload = upload
        self._on_sent = on_sent
        parts = [f'name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
        kind = "Content-Type: application/octet-stream"
        parts.append(f'name="file"; filename="{_quoted(upload.name)}"\r\n{kind}\r\n\r\n')
        head = "".join(f"--{boundary}\r\nContent-Disposition: form-data; {part}" for part in parts)
        # Linux lets file names be no valid text at all; such a name is told as nearly as can be.
        self._head = head.encode(errors="replace")
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self.headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if upload.size is not None:
            length = len(self._head) + upload.size + len(self._tail)
            self.headers["Content-Length"] = str(length)

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        self._on_sent(sent)
        yield self._head
        for piece in self._upload.pieces():
            yield piece
            sent += len(piece)
            self._on_sent(sent)
        yield self._tail

    async def __aiter__(self) -> AsyncIterator[bytes]:
        sent = 0
        self._on_sent(sent)
        yield self._head
        pieces = self._upload.pieces()
        # Reading blocks, so it is done beside the event loop; telling progress is done on it.
        while piece := await anyio.to_thread.run_sync(next, pieces, b""):
            yield piece
            sent += len(piece)
            self._on_sent(sent)
        yield self._tail


def _read(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece


def _extent(file: BinaryIO) -> tuple[int | None, int | None]:
    """Where a file stands and how many bytes follow; None, None for what cannot be rewound."""
    try:
        start = file.tell()
        size = file.seek(0, os.SEEK_END) - start
        file.seek(start)
    except (OSError, AttributeError):
        return None, None
    return start, size


def _quoted(name: str) -> str:
    """A file name as it stands between the quotes of a form's header (the WHATWG's escapes)."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
