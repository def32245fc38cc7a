"""Notes, key, metre and tempo as JSON tells them, and the JSON Schema of each."""

from __future__ import annotations

from typing import Any, Final

from services.music.notes import Note
from services.music.score import Key, Metre, Mode, Tempo

_CONFIDENCE: Final = {"type": "number", "minimum": 0, "maximum": 1}


def _schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


_SECONDS: Final = {"type": "number", "minimum": 0, "description": "seconds from the start of the recording"}

NOTE_SCHEMA: Final = _schema(
    onset_s=_SECONDS,
    offset_s=_SECONDS,
    pitch={"type": "integer", "minimum": 21, "maximum": 108, "description": "MIDI number; 60 is middle C"},
    velocity={"type": "integer", "minimum": 1, "maximum": 127},
    confidence=_CONFIDENCE,
)
KEY_SCHEMA: Final = _schema(
    fifths={"type": "integer", "minimum": -7, "maximum": 7},
    mode={"type": "string", "enum": [mode.value for mode in Mode]},
    name={"type": "string"},
    confidence=_CONFIDENCE,
)
METRE_SCHEMA: Final = _schema(
    beats={"type": "integer"}, beat_type={"type": "integer"}, confidence=_CONFIDENCE
)
TEMPO_SCHEMA: Final = _schema(bpm={"type": "number"}, beats_s={"type": "array", "items": {"type": "number"}})


def plain_note(note: Note) -> dict[str, Any]:
    """A note by NOTE_SCHEMA."""
    return {
        "onset_s": round(note.onset_s, 4),
        "offset_s": round(note.offset_s, 4),
        "pitch": note.pitch,
        "velocity": note.velocity,
        "confidence": round(note.confidence, 3),
    }


def plain_key(key: Key) -> dict[str, Any]:
    """A key by KEY_SCHEMA."""
    return {
        "fifths": key.fifths,
        "mode": key.mode.value,
        "name": key.name,
        "confidence": round(key.confidence, 3),
    }


def plain_metre(metre: Metre) -> dict[str, Any]:
    """A metre by METRE_SCHEMA."""
    return {"beats": metre.beats, "beat_type": metre.beat_type, "confidence": round(metre.confidence, 3)}


def plain_tempo(tempo: Tempo) -> dict[str, Any]:
    """A tempo by TEMPO_SCHEMA; beats in seconds from the start."""
    return {"bpm": round(tempo.bpm, 2), "beats_s": [round(beat, 4) for beat in tempo.beats_s]}
