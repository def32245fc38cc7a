"""The OpenAPI 3.1 description of the audio service's HTTP API."""

from __future__ import annotations

from typing import Any, Final

from services.amt.options import FASTEST_BPM, INSTRUMENTS, SLOWEST_BPM
from services.music.export import Format
from services.music.rhythm import Quantise
from services.runtime.problems import MEDIA_TYPE as PROBLEM
from services.runtime.problems import TYPE_PREFIX
from services.runtime.settings import Settings

_NUMBER: Final = {"type": "number"}
_INTEGER: Final = {"type": "integer"}
_STRING: Final = {"type": "string"}
_SHARE: Final = {"type": "number", "minimum": 0, "maximum": 1}


def specification(settings: Settings) -> dict[str, Any]:
    """Write the description with the limits that hold here."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Copyist: transcription",
            "version": "1",
            "description": "A recording goes in; its notes, key, metre and tempo come out, and the score as "
            "MIDI, MusicXML, PDF, SVG, JSON and CSV. Errors are RFC 9457 problem documents that say what is "
            "wrong and what to do. Every answer carries an `X-Request-Id`; send one to choose it.",
        },
        "paths": {
            "/v1/transcribe": {"post": _transcribe(settings)},
            "/v1/models": {"get": _models()},
            "/livez": {"get": _probe("Whether the process answers", {})},
            "/readyz": {
                "get": _probe("Whether a recording could be transcribed now", _problems("model-unavailable"))
            },
            "/metrics": {
                "get": {
                    "summary": "Metrics for Prometheus",
                    "tags": ["operation"],
                    "responses": {"200": _text("Prometheus' text format")},
                }
            },
        },
        "components": {"schemas": _schemas()},
    }


def _transcribe(settings: Settings) -> dict[str, Any]:
    return {
        "summary": "Transcribe a recording",
        "tags": ["transcription"],
        "description": "Takes wav, flac, mp3, ogg, opus, m4a and aac of any rate, depth and channel count, "
        f"up to {settings.max_upload_bytes} bytes and {settings.max_audio_s} s. Nothing is kept here."
        " With `Accept: application/zip` the answer is one zip of the files and of the JSON answer.\n\n"
        "```\ncurl -F file=@prelude.mp3 -F formats=midi,musicxml,pdf http://localhost:3000/v1/transcribe\n```",
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": _form()}},
        },
        "responses": {
            "200": {
                "description": "What was heard",
                "content": {
                    "application/json": {"schema": _ref("Transcription"), "example": _EXAMPLE},
                    "application/zip": {"schema": {"type": "string", "format": "binary"}},
                },
            },
            **_problems(
                "bad-request",
                "not-acceptable",
                "too-large",
                "unreadable-media",
                "overloaded",
                "internal-error",
                "model-error",
                "model-unavailable",
                "timed-out",
            ),
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


def _models() -> dict[str, Any]:
    return {
        "summary": "List the models, an entry for each version that is ready",
        "tags": ["transcription"],
        "responses": {
            "200": {
                "description": "The models",
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["models"],
                            "properties": {"models": {"type": "array", "items": _ref("Model")}},
                        }
                    }
                },
            },
            **_problems("model-unavailable"),
        },
    }


def _probe(summary: str, problems: dict[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "tags": ["operation"], "responses": {"200": _text("Yes"), **problems}}


def _text(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/plain": {"schema": _STRING}}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_PROBLEMS: Final = {
    "bad-request": (400, "The form is not as documented."),
    "not-acceptable": (406, "None of the accepted media types can be given."),
    "too-large": (413, "The upload or the recording exceeds a limit; the detail names it."),
    "unreadable-media": (422, "The file cannot be read as a recording, or an option does not exist."),
    "overloaded": (429, "As many recordings as allowed are being transcribed; see `Retry-After`."),
    "internal-error": (500, "A fault of the service."),
    "model-error": (502, "The model did not answer as agreed."),
    "model-unavailable": (503, "The model server is not there for the moment; see `Retry-After`."),
    "timed-out": (504, "The request took longer than allowed."),
}


def _problems(*slugs: str) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for slug in slugs:
        status, description = _PROBLEMS[slug]
        response: dict[str, Any] = {
            "description": description,
            "content": {PROBLEM: {"schema": _ref("Problem")}},
        }
        if status in (429, 503):
            response["headers"] = {"Retry-After": {"description": "seconds", "schema": _INTEGER}}
        responses[str(status)] = response
    return responses


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _schemas() -> dict[str, Any]:
    def or_null(schema: dict[str, Any]) -> dict[str, Any]:
        return {"oneOf": [schema, {"type": "null"}], "description": "null where no note was found"}

    seconds = {"type": "number", "minimum": 0, "description": "seconds from the start of the recording"}
    return {
        "Note": _object(
            onset_s=seconds,
            offset_s=seconds,
            pitch={
                "type": "integer",
                "minimum": 21,
                "maximum": 108,
                "description": "MIDI number; 60 is middle C",
            },
            velocity={"type": "integer", "minimum": 1, "maximum": 127},
            confidence=_SHARE,
        ),
        "Transcription": _object(
            id={"type": "string", "description": "the request's id"},
            model=_object(name=_STRING, version=_STRING),
            duration_s=_NUMBER,
            notes={"type": "array", "items": _ref("Note")},
            key=or_null(
                _object(
                    fifths={"type": "integer", "minimum": -7, "maximum": 7},
                    mode={"type": "string", "enum": ["major", "minor"]},
                    name=_STRING,
                    confidence=_SHARE,
                )
            ),
            metre=or_null(_object(beats=_INTEGER, beat_type=_INTEGER, confidence=_SHARE)),
            tempo=or_null(_object(bpm=_NUMBER, beats_s={"type": "array", "items": _NUMBER})),
            timings_s={
                "type": "object",
                "additionalProperties": _NUMBER,
                "description": "seconds that each stage took: decode, model, notes, notation, engraving",
            },
            files={
                "type": "array",
                "items": _object(
                    name=_STRING,
                    format={"type": "string", "enum": [kind.value for kind in Format]},
                    media_type=_STRING,
                    size={"type": "integer", "description": "bytes"},
                    href={"type": "string", "description": "a data: URI; in a zip the file's name"},
                ),
            },
        ),
        "Model": _object(
            name=_STRING,
            version=_STRING,
            ready={"type": "boolean"},
            card={"type": "object", "description": "SHA-256, data, licence and measures, as far as stated"},
        ),
        "Problem": _object(
            type={"type": "string", "description": f"{TYPE_PREFIX}<kind>"},
            title=_STRING,
            status=_INTEGER,
            detail={"type": "string", "description": "what was wrong this time"},
            remedy={"type": "string", "description": "what to do about it"},
            instance={"type": "string", "description": "the request's id"},
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
