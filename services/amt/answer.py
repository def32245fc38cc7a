"""How a transcription is answered: JSON with its files as data URIs, or one zip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from services.amt.transcriber import Transcription
from services.music.export import FILE_SUFFIX, MEDIA_TYPE
from services.music.notes import Note
from services.music.score import Key, Metre, Tempo
from services.runtime.answers import AnswerFile, listed, with_answer, zipped

#: Notes written by one call of the JSON encoder, which holds Python's lock throughout.
_NOTES_AT_ONCE: Final = 500


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
    return b"".join(_written_notes(notes))


def _written(transcription: Transcription, request_id: str, files: list[dict[str, Any]]) -> Iterator[bytes]:
    head = {
        "id": request_id,
        "model": {"name": transcription.model, "version": transcription.version},
        "duration_s": round(transcription.duration_s, 4),
        "key": _key(transcription.key),
        "metre": _metre(transcription.metre),
        "tempo": _tempo(transcription.tempo),
        "timings_s": {stage: round(s, 4) for stage, s in transcription.timings_s.items()},
        "files": files,
    }
    yield json.dumps(head).encode()[:-1] + b', "notes": '
    yield from _written_notes(transcription.notes)
    yield b"}"


def _written_notes(notes: tuple[Note, ...]) -> Iterator[bytes]:
    yield b"["
    for start in range(0, len(notes), _NOTES_AT_ONCE):
        batch = [_note(note) for note in notes[start : start + _NOTES_AT_ONCE]]
        yield (b", " if start else b"") + json.dumps(batch).encode()[1:-1]
    yield b"]"


def _note(note: Note) -> dict[str, Any]:
    return {
        "onset_s": round(note.onset_s, 4),
        "offset_s": round(note.offset_s, 4),
        "pitch": note.pitch,
        "velocity": note.velocity,
        "confidence": round(note.confidence, 3),
    }


def _key(key: Key | None) -> dict[str, Any] | None:
    if key is None:
        return None
    confidence = round(key.confidence, 3)
    return {"fifths": key.fifths, "mode": key.mode.value, "name": key.name, "confidence": confidence}


def _metre(metre: Metre | None) -> dict[str, Any] | None:
    if metre is None:
        return None
    return {"beats": metre.beats, "beat_type": metre.beat_type, "confidence": round(metre.confidence, 3)}


def _tempo(tempo: Tempo | None) -> dict[str, Any] | None:
    if tempo is None:
        return None
    return {"bpm": round(tempo.bpm, 2), "beats_s": [round(s, 4) for s in tempo.beats_s]}
