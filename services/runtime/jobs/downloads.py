"""Files of jobs over HTTP: validators, ranges and names (RFC 9110, sections 13 and 14; RFC 6266)."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from services.errors import InputError
from services.runtime import problems
from services.runtime.http import request_id
from services.runtime.jobs.job import JobFile
from services.runtime.streaming import StreamedResponse

_RANGE: Final = re.compile(r"\s*bytes\s*=\s*(\d{0,19})-(\d{0,19})\s*", re.IGNORECASE | re.ASCII)
#: SVG may hold scripts: nothing in a result is to run, or to fetch anything, wherever it is shown.
_POLICY: Final = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"

#: Reads a file's bytes from a start up to, not including, an end.
Read = Callable[[int, int], AsyncGenerator[bytes, None]]


class RangeNotSatisfiableError(InputError):
    """The part of a file that was asked for lies beyond its end."""

    slug = "range-not-satisfiable"
    title = "The file has no such part"
    status = 416


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a file from `start` up to, not including, `end`."""

    start: int
    end: int


def answer(request: Request, file: JobFile, read: Read) -> Response:
    """Answer GET or HEAD with a file, a part of it, or word that the caller has it already."""
    etag = f'"{file.sha256}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Accept-Ranges": "bytes"}
    if _has(request.headers.get("If-None-Match", ""), etag):
        return Response(status_code=304, headers=headers)
    headers |= {
        "Content-Disposition": disposition(file.name),
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
    }
    if request.method == "HEAD":
        headers["Content-Length"] = str(file.size)
        return Response(None, 200, headers, file.media_type)
    try:
        part = _wanted(request, file.size, etag)
    except RangeNotSatisfiableError as error:
        refusal = problems.response(error, request_id(request))
        refusal.headers["Content-Range"] = f"bytes */{file.size}"
        return refusal
    whole = part is None
    part = part or Part(0, file.size)
    headers["Content-Length"] = str(part.end - part.start)
    if not whole:
        headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{file.size}"
    return StreamedResponse(read(part.start, part.end), 200 if whole else 206, headers, file.media_type)


def _wanted(request: Request, size: int, etag: str) -> Part | None:
    wanted = request.headers.get("Range")
    condition = request.headers.get("If-Range", etag).strip()
    return parse_range(wanted, size) if wanted and condition == etag else None


def parse_range(header: str, size: int) -> Part | None:
    """Read a `Range` header; None, for the whole file, where it is not a single range of bytes.

    Args:
        header: its value.
        size: of the file, in bytes.

    Raises:
        RangeNotSatisfiableError: the range lies beyond the file's end, or is empty.
    """
    found = _RANGE.fullmatch(header)
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        part = Part(max(0, size - int(found[2])), size)
    else:
        if found[2] and int(found[2]) < int(found[1]):
            return None
        part = Part(int(found[1]), min(int(found[2]) + 1, size) if found[2] else size)
    if part.start >= part.end:
        raise RangeNotSatisfiableError(
            f"The range {header.strip()!r} lies beyond the file's {size} bytes.",
            remedy="Ask for the file without a range, or for bytes that it has.",
        )
    return part


def _has(if_none_match: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags


def disposition(name: str) -> str:
    """Write the `Content-Disposition` that has a browser save a file under its name."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    if plain == name:
        return f'attachment; filename="{name}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
