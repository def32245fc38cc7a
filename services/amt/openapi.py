"""The OpenAPI 3.1 description of the audio service's HTTP API."""

from __future__ import annotations

from typing import Any, Final

from services.amt.options import FASTEST_BPM, INSTRUMENTS, SLOWEST_BPM
from services.music.export import Format
from services.music.plain import KEY_SCHEMA, METRE_SCHEMA, NOTE_SCHEMA, TEMPO_SCHEMA
from services.music.rhythm import Quantise
from services.runtime.jobs.openapi import JOB_SCHEMAS, job_paths
from services.runtime.openapi import (
    NUMBER,
    STRING,
    UPLOAD_PROBLEMS,
    description,
    files,
    object_of,
    problems,
    schema_ref,
)
from services.runtime.settings import Settings


def specification(settings: Settings) -> dict[str, Any]:
    """Write the description with the limits that hold here."""
    return description(
        "transcription",
        "A recording goes in; its notes, key, metre and tempo come out, and the score as MIDI, MusicXML, "
        "PDF, SVG, JSON and CSV.",
        "transcription",
        {
            "/v1/transcribe": {"post": _transcribe(settings)},
            **job_paths(
                settings,
                _form(),
                _takes(settings),
                "curl -F file=@prelude.mp3 -F formats=midi,musicxml,pdf http://localhost:3000/v1/jobs",
            ),
        },
        {**_schemas(), **JOB_SCHEMAS},
        settings,
    )


def _takes(settings: Settings) -> str:
    return (
        "Takes wav, flac, mp3, ogg, opus, m4a and aac of any rate, depth and channel count, up to "
        f"{settings.max_upload_bytes} bytes and {settings.max_audio_s} s."
    )


def _transcribe(settings: Settings) -> dict[str, Any]:
    return {
        "summary": "Transcribe a recording",
        "tags": ["transcription"],
        "description": f"{_takes(settings)} Nothing is kept here. With `Accept: application/zip` the answer "
        "is one zip of the files and of the JSON answer.\n\n"
        "```\ncurl -F file=@prelude.mp3 -F formats=midi,musicxml,pdf http://localhost:3000/v1/transcribe\n```",
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": _form()}},
        },
        "responses": {
            "200": {
                "description": "What was heard",
                "content": {
                    "application/json": {"schema": schema_ref("Transcription"), "example": _EXAMPLE},
                    "application/zip": {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **problems(*UPLOAD_PROBLEMS),
        },
    }


def _form() -> dict[str, Any]:
    formats = ", ".join(f"`{kind}`" for kind in Format)
    return {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {
            "file": {"type": "string", "format": "binary", "description": "The recording itself."},
            "instrument": {"type": "string", "enum": list(INSTRUMENTS), "default": INSTRUMENTS[0]},
            "formats": {
                "type": "string",
                "default": "",
                "examples": ["midi,musicxml,pdf"],
                "description": f"The files wanted, separated by commas: {formats}. None by default.",
            },
            "tempo": {
                "type": "number",
                "minimum": SLOWEST_BPM,
                "maximum": FASTEST_BPM,
                "description": "Beats a minute, where you know them. By default the tempo is found.",
            },
            "quantise": {
                "type": "string",
                "enum": [kind.value for kind in Quantise],
                "default": Quantise.AUTO.value,
                "description": "The grid that notation is drawn on; the notes themselves keep their times.",
            },
        },
    }


def _schemas() -> dict[str, Any]:
    def or_null(schema: dict[str, Any]) -> dict[str, Any]:
        return {"oneOf": [schema, {"type": "null"}], "description": "null where no note was found"}

    return {
        "Note": NOTE_SCHEMA,
        "Transcription": object_of(
            id={"type": "string", "description": "the request's id"},
            model=object_of(name=STRING, version=STRING),
            duration_s=NUMBER,
            notes={"type": "array", "items": schema_ref("Note")},
            key=or_null(KEY_SCHEMA),
            metre=or_null(METRE_SCHEMA),
            tempo=or_null(TEMPO_SCHEMA),
            timings_s={
                "type": "object",
                "additionalProperties": NUMBER,
                "description": "seconds that each stage took: decode, model, notes, queue, "
                "notation, engraving",
            },
            files=files(),
        ),
    }


_EXAMPLE: Final = {
    "id": "4f0c9b1e7a5d4c0f9f6f0d6a4b1c2d3e",
    "model": {"name": "piano", "version": "1"},
    "duration_s": 61.44,
    "key": {"fifths": -3, "mode": "major", "name": "E-flat major", "confidence": 0.91},
    "metre": {"beats": 3, "beat_type": 4, "confidence": 0.84},
    "tempo": {"bpm": 96.2, "beats_s": [0.41, 1.03, 1.66]},
    "timings_s": {"decode": 0.06, "model": 1.1, "notes": 0.01, "notation": 0.2, "engraving": 0.5},
    "files": [
        {
            "name": "prelude.mid",
            "format": "midi",
            "media_type": "audio/midi",
            "size": 5230,
            "href": "data:audio/midi;base64,TVRoZA...",
        }
    ],
    "notes": [{"onset_s": 0.4131, "offset_s": 0.9972, "pitch": 63, "velocity": 71, "confidence": 0.98}],
}
