"""Files on their way out: read in pieces from a path, bytes or a file, as one multipart body."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import anyio.to_thread

#: What can be sent: a path, the bytes themselves, or a file open for reading in binary.
Source = str | Path | bytes | bytearray | memoryview | BinaryIO

PIECE_BYTES: Final = 256 * 1024
#: Between a file's last byte and the next boundary.
_END: Final = b"\r\n"


class Upload:
    """One file to send, never held in memory whole unless it came so.

    Attributes:
        name: the file name told to the service, which names its files after it.
        size: bytes in all, or None when that cannot be known (a pipe).
    """

    def __init__(self, source: Source, name: str | None = None) -> None:
        """Look at the file without reading it.

        Args:
            source: a path, bytes, or a binary file, which is sent from where it stands.
            name: the file name to tell the service; by default the path's own.

        Raises:
            OSError: when a path cannot be read.
        """
        self._source = source
        self._start: int | None = 0
        self._taken = False
        if isinstance(source, str | Path):
            with Path(source).open("rb") as file:  # an absent or forbidden file is told before any sending
                self.size: int | None = os.fstat(file.fileno()).st_size
            self.name = name or Path(source).name
        elif isinstance(source, bytes | bytearray | memoryview):
            self.size = memoryview(source).nbytes
            self.name = name or "upload"
        else:
            self._start, self.size = _extent(source)
            own_name = getattr(source, "name", None)
            self.name = name or (Path(own_name).name if isinstance(own_name, str) else "upload")

    @property
    def replayable(self) -> bool:
        """Whether it can be sent (once more) from its start."""
        return self._start is not None or not self._taken

    def pieces(self) -> Iterator[bytes]:
        """Its bytes from the start, in pieces of `PIECE_BYTES` at most."""
        self._taken = True
        if isinstance(self._source, str | Path):
            with Path(self._source).open("rb") as file:
                yield from _read(file)
        elif isinstance(self._source, bytes | bytearray | memoryview):
            view = memoryview(self._source).cast("B")
            for start in range(0, len(view), PIECE_BYTES):
                yield bytes(view[start : start + PIECE_BYTES])
        else:
            if self._start is not None:
                self._source.seek(self._start)
            yield from _read(self._source)


class MultipartBody:
    """A multipart/form-data body (RFC 7578): plain fields first, then each file as `file`.

    Iterating gives the bytes to send, synchronously or not, each time from the start. httpx's own
    multipart rewinds a file to its beginning rather than to where it stood, reads on the event loop
    and tells no progress; hence this one.

    Attributes:
        headers: `Content-Type`, and `Content-Length` where the size is known.
    """

    def __init__(
        self,
        uploads: Sequence[Upload],
        fields: Mapping[str, str],
        on_sent: Callable[[int], None] = lambda sent: None,
    ) -> None:
        """Frame uploads.

        Args:
            uploads: the files, in order.
            fields: the form's other fields.
            on_sent: told how many of the files' bytes were handed to the connection so far.
        """
        boundary = secrets.token_hex(16)
        self._uploads = uploads
        self._on_sent = on_sent
        parts = [f'name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
        start = f"--{boundary}\r\nContent-Disposition: form-data; "
        self._fields = "".join(f"{start}{part}" for part in parts).encode()
        kind = "Content-Type: application/octet-stream"
        self._heads = [
            # Linux lets file names be no valid text at all; such a name is told as nearly as can be.
            f'{start}name="file"; filename="{_quoted(upload.name)}"\r\n{kind}\r\n\r\n'.encode(
                errors="replace"
            )
            for upload in uploads
        ]
        self._tail = f"--{boundary}--\r\n".encode()
        self.headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if (size := total_size(uploads)) is not None:
            frames = sum(map(len, self._heads)) + len(_END) * len(uploads)
            self.headers["Content-Length"] = str(len(self._fields) + frames + size + len(self._tail))

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        self._on_sent(sent)
        yield self._fields
        for head, upload in zip(self._heads, self._uploads, strict=True):
            yield head
            for piece in upload.pieces():
                yield piece
                sent += len(piece)
                self._on_sent(sent)
            yield _END
        yield self._tail

    async def __aiter__(self) -> AsyncIterator[bytes]:
        sent = 0
        self._on_sent(sent)
        yield self._fields
        for head, upload in zip(self._heads, self._uploads, strict=True):
            yield head
            pieces = upload.pieces()
            # Reading blocks, so it is done beside the event loop; telling progress is done on it.
            while piece := await anyio.to_thread.run_sync(next, pieces, b""):
                yield piece
                sent += len(piece)
                self._on_sent(sent)
            yield _END
        yield self._tail


def total_size(uploads: Sequence[Upload]) -> int | None:
    """Bytes of all files together, or None when that cannot be known."""
    sizes = [upload.size for upload in uploads]
    return None if None in sizes else sum(size or 0 for size in sizes)


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
