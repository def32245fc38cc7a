"""Files in an answer: their names, how JSON lists them, and the zip that holds them all."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final, TypeVar

T = TypeVar("T")

JSON: Final = "application/json"
ZIP: Final = "application/zip"
#: What stands for a format where the file is the JSON answer.
ANSWER: Final = "answer"

_LONGEST_STEM: Final = 100
#: Elements written by one call of the JSON encoder, which holds Python's lock throughout.
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class AnswerFile:
    """A file that was asked for.

    Attributes:
        name: with its suffix, never a path.
        format: as it was asked for.
        media_type: of its content.
        content: its bytes.
    """

    name: str
    format: str
    media_type: str
    content: bytes


def stem_of(filename: str, otherwise: str) -> str:
    """Take from an upload's name what the files of the answer are called by; never a path."""
    stem = PurePath(filename.replace("\\", "/").replace("\0", "")).stem
    printable = "".join(c for c in stem if c.isprintable()).strip(" .")
    return printable[:_LONGEST_STEM] or otherwise


def listed(files: Sequence[AnswerFile], *, by_name: bool) -> list[dict[str, Any]]:
    """List files for JSON, each with its content as a data URI, or with its name in the zip."""
    return [
        {
            "name": file.name,
            "format": file.format,
            "media_type": file.media_type,
            "size": len(file.content),
            "href": file.name if by_name else _data_uri(file),
        }
        for file in files
    ]


def _data_uri(file: AnswerFile) -> str:
    return f"data:{file.media_type.replace(' ', '')};base64,{base64.b64encode(file.content).decode()}"


def zipped(files: Sequence[AnswerFile]) -> bytes:
    """Write a zip of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(file.name, file.content)
    return buffer.getvalue()


def array(things: Sequence[T], plain: Callable[[T], dict[str, Any]]) -> Iterator[bytes]:
    """Write a JSON array piece by piece: its elements as `plain` makes them."""
    yield b"["
    for start in range(0, len(things), _AT_ONCE):
        batch = [plain(thing) for thing in things[start : start + _AT_ONCE]]
        yield (b", " if start else b"") + json.dumps(batch).encode()[1:-1]
    yield b"]"


def with_answer(files: Sequence[AnswerFile], answer: Iterable[bytes], stem: str) -> list[AnswerFile]:
    """Add the JSON answer to files, as `stem.json` unless one of them is called so."""
    taken = {file.name for file in files}
    name = f"{stem}.json" if f"{stem}.json" not in taken else f"{stem}.answer.json"
    return [*files, AnswerFile(name, ANSWER, JSON, b"".join(answer))]
