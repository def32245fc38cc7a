"""How a recognition is answered: JSON with its files as data URIs, or one zip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from services.omr.document import members
from services.omr.options import FILE_SUFFIX, MEDIA_TYPE
from services.omr.reader import Reading
from services.runtime.answers import AnswerFile, listed, with_answer, zipped


def as_json(reading: Reading, request_id: str, stem: str, *, explain: bool) -> bytes:
    """Write the JSON answer; the files lie in it as data URIs.

    Args:
        reading: what to tell.
        request_id: the request's.
        stem: what the files are called by.
        explain: whether to tell what each step decided.
    """
    files = listed(_files(reading, stem), by_name=False)
    return b"".join(_written(reading, request_id, files, explain))


def as_zip(reading: Reading, request_id: str, stem: str, *, explain: bool) -> bytes:
    """Write a zip of the files and of the JSON answer, which refers to them by name; as `as_json`."""
    return zipped(as_files(reading, request_id, stem, explain=explain))


def as_files(reading: Reading, request_id: str, stem: str, *, explain: bool) -> list[AnswerFile]:
    """Write the files, and with them the JSON answer, which refers to them by name; as `as_json`."""
    files = _files(reading, stem)
    return with_answer(files, _written(reading, request_id, listed(files, by_name=True), explain), stem)


def message(reading: Reading) -> str:
    """Say in words what a caller should know of pages that hold nothing; empty where all is well."""
    pages = reading.recognition.pages
    blank = [index + 1 for index, page in enumerate(pages) if not page.systems]
    if not blank:
        return ""
    if len(blank) == len(pages):
        return "No staves found."
    return f"No staves found on page{'s' if len(blank) > 1 else ''} {', '.join(map(str, blank))}."


def page_names(stem: str, suffix: str, count: int) -> list[str]:
    """Name files of which there is one for each page: numbered where there are several pages."""
    if count == 1:
        return [stem + suffix]
    return [f"{stem}-{number}{suffix}" for number in range(1, count + 1)]


def _files(reading: Reading, stem: str) -> list[AnswerFile]:
    return [
        AnswerFile(name, kind.value, MEDIA_TYPE[kind], content)
        for kind, contents in reading.files.items()
        for name, content in zip(page_names(stem, FILE_SUFFIX[kind], len(contents)), contents, strict=True)
    ]


def _written(
    reading: Reading, request_id: str, files: list[dict[str, Any]], explain: bool
) -> Iterator[bytes]:
    head = {
        "id": request_id,
        "model": {"name": reading.model, "version": reading.version},
        "context": reading.context_version,
        "message": message(reading),
        "timings_s": {stage: round(s, 4) for stage, s in reading.timings_s.items()},
        "files": files,
    }
    yield json.dumps(head).encode()[:-1] + b", "
    yield from members(reading.recognition, reading.places, explain=explain)
    yield b"}"
