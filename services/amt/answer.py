"""How a transcription is answered: JSON with its files as data URIs, or one zip."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final

from services.amt.transcriber import Transcription
from services.music.export import FILE_SUFFIX, MEDIA_TYPE, Format
from services.music.notes import Note
from services.music.score import Key, Metre, Tempo

JSON: Final = "application/json"
ZIP: Final = "application/zip"

#: Notes written by one call of the JSON encoder, which holds Python's lock throughout.
_NOTES_AT_ONCE: Final = 500
_LONGEST_STEM: Final = 100


def stem_of(filename: str) -> str:
    """Take from an upload's name what the files of the answer are called by; never a path."""
    stem = PurePath(filename.replace("\\", "/").replace("\0", "")).stem
    printable = "".join(c for c in stem if c.isprintable()).strip(" .")
    return printable[:_LONGEST_STEM] or "recording"


def as_json(transcription: Transcription, request_id: str, stem: str) -> bytes:
    """Write the JSON answer; the files lie in it as data URIs."""
    hrefs = {
        kind: f"data:{MEDIA_TYPE[kind].replace(' ', '')};base64,{base64.b64encode(content).decode()}"
        for kind, content in transcription.files.items()
    }
    return b"".join(_written(transcription, request_id, stem, hrefs))


def as_zip(transcription: Transcription, request_id: str, stem: str) -> bytes:
    """Write a zip of the files and of the JSON answer, which refers to them by name."""
    names = {kind: stem + FILE_SUFFIX[kind] for kind in transcription.files}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for kind, name in names.items():
            archive.writestr(name, transcription.files[kind])
        answer_name = f"{stem}.json" if Format.JSON not in names else f"{stem}.answer.json"
        archive.writestr(answer_name, b"".join(_written(transcription, request_id, stem, names)))
    return buffer.getvalue()


def notes_as_json(notes: tuple[Note, ...]) -> bytes:
    """Write a JSON array of notes."""
    return b"".join(_written_notes(notes))


def _written(
    transcription: Transcription, request_id: str, stem: str, hrefs: Mapping[Format, str]
) -> Iterator[bytes]:
    head = {
        "id": request_id,
        "model": {"name": transcription.model, "version": transcription.version},
        "duration_s": round(transcription.duration_s, 4),
        "key": _key(transcription.key),
        "metre": _metre(transcription.metre),
        "tempo": _tempo(transcription.tempo),
        "timings_s": {stage: round(s, 4) for stage, s in transcription.timings_s.items()},
        "files": [
            {
                "name": stem + FILE_SUFFIX[kind],
                "format": kind.value,
                "media_type": MEDIA_TYPE[kind],
                "size": len(content),
                "href": hrefs[kind],
            }
            for kind, content in transcription.files.items()
        ],
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
