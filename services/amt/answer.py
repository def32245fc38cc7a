"""How a transcription is answered: JSON with its files as data URIs, or one zip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from services.amt.transcriber import Transcription
from services.music.export import FILE_SUFFIX, MEDIA_TYPE
from services.music.notes import Note
from services.music.plain import plain_key, plain_metre, plain_note, plain_tempo
from services.runtime.answers import AnswerFile, array, listed, with_answer, zipped


def as_json(transcription: Transcription, request_id: str, stem: str) -> bytes:
    """Write the JSON answer; the files lie in it as data URIs."""
    files = _files(transcription, stem)
    return b"".join(_written(transcription, request_id, listed(files, by_name=False)))


def as_zip(transcription: Transcription, request_id: str, stem: str) -> bytes:
    """Write a zip of the files and of the JSON answer, which refers to them by name."""
    return zipped(as_files(transcription, request_id, stem))


def as_files(transcription: Transcription, request_id: str, stem: str) -> list[AnswerFile]:
    """Write the files, and with them the JSON answer, which refers to them by name."""
    files = _files(transcription, stem)
    return with_answer(files, _written(transcription, request_id, listed(files, by_name=True)), stem)


def _files(transcription: Transcription, stem: str) -> list[AnswerFile]:
    return [
        AnswerFile(stem + FILE_SUFFIX[kind], kind.value, MEDIA_TYPE[kind], content)
        for kind, content in transcription.files.items()
    ]


def notes_as_json(notes: tuple[Note, ...]) -> bytes:
    """Write a JSON array of notes."""
    return b"".join(array(notes, plain_note))


def _written(transcription: Transcription, request_id: str, files: list[dict[str, Any]]) -> Iterator[bytes]:
    head = {
        "id": request_id,
        "model": {"name": transcription.model, "version": transcription.version},
        "duration_s": round(transcription.duration_s, 4),
        "key": plain_key(transcription.key) if transcription.key else None,
        "metre": plain_metre(transcription.metre) if transcription.metre else None,
        "tempo": plain_tempo(transcription.tempo) if transcription.tempo else None,
        "timings_s": {stage: round(s, 4) for stage, s in transcription.timings_s.items()},
        "files": files,
    }
    yield json.dumps(head).encode()[:-1] + b', "notes": '
    yield from array(transcription.notes, plain_note)
    yield b"}"
