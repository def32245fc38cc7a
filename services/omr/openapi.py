"""The OpenAPI 3.1 description of the page service's HTTP API."""

from __future__ import annotations

from typing import Any, Final

from services.music.plain import KEY_SCHEMA, METRE_SCHEMA
from services.music.score import NoteType
from services.omr.assembly.recognition import Role
from services.omr.options import PageFormat
from services.omr.palette import ColourBy
from services.omr.vocabulary import SymbolClass
from services.runtime.jobs.openapi import JOB_SCHEMAS, job_paths
from services.runtime.openapi import (
    INTEGER,
    NUMBER,
    SHARE,
    STRING,
    UPLOAD_PROBLEMS,
    description,
    files,
    object_of,
    problems,
    schema_ref,
)
from services.runtime.settings import Settings

_BOOLEAN: Final = {"type": "boolean"}
_INDEX: Final = {"type": "integer", "minimum": 0}
_INDEX_OR_NULL: Final = {"type": ["integer", "null"], "minimum": 0}
_QUARTERS: Final = {"type": "number", "minimum": 0, "description": "quarter notes"}
_BINARY: Final = {"type": "string", "format": "binary"}
_BOX: Final = {
    "type": "array",
    "items": NUMBER,
    "minItems": 4,
    "maxItems": 4,
    "description": "x, y, width, height in px of the upload (of a PDF page: of its drawing)",
}


def specification(settings: Settings) -> dict[str, Any]:
    """Write the description with the limits that hold here."""
    return description(
        "recognition",
        "Pages of printed music go in; their notes, each with its box, come out, and the score as MusicXML, "
        "MIDI, PDF, SVG and JSON, and the pages coloured.",
        "recognition",
        {
            "/v1/recognize": {"post": _recognize(settings)},
            "/v1/restore": {"post": _restore(settings)},
            **job_paths(
                settings,
                _form(),
                _takes(settings),
                "curl -F file=@sonata.pdf -F formats=musicxml,overlay http://localhost:3002/v1/jobs",
            ),
        },
        {**_schemas(), **JOB_SCHEMAS},
        settings,
    )


def _takes(settings: Settings) -> str:
    return (
        "Takes png, jpg, tiff, webp, bmp and pdf, several files in page order, up to "
        f"{settings.max_upload_bytes} bytes, {settings.max_pages} pages and {settings.max_page_pixels} "
        "pixels a page."
    )


def _recognize(settings: Settings) -> dict[str, Any]:
    return {
        "summary": "Recognise pages of printed music as one piece",
        "tags": ["recognition"],
        "description": f"{_takes(settings)} Nothing is kept here. Pages without staves are no error: "
        "`message` tells of them. With `Accept: application/zip` the answer is one zip of the files and of "
        "the JSON answer.\n\n"
        "```\ncurl -F file=@page1.png -F file=@page2.png -F formats=musicxml,overlay "
        "http://localhost:3002/v1/recognize\n```",
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _form()}}},
        "responses": {
            "200": {
                "description": "What was read",
                "content": {
                    "application/json": {"schema": schema_ref("Recognition")},
                    "application/zip": {"schema": _BINARY},
                },
            },
            **problems(*UPLOAD_PROBLEMS),
        },
    }


def _restore(settings: Settings) -> dict[str, Any]:
    return {
        "summary": "Clean and straighten pages of a poor copy",
        "tags": ["recognition"],
        "description": f"{_takes(settings)} Nothing is kept here. The answer is a PNG of black and white; "
        "of several pages, a zip.",
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "additionalProperties": False,
                        "properties": {"file": _files()},
                    }
                }
            },
        },
        "responses": {
            "200": {
                "description": "The restored page or pages",
                "content": {"image/png": {"schema": _BINARY}, "application/zip": {"schema": _BINARY}},
            },
            **problems(*(each for each in UPLOAD_PROBLEMS if each != "not-acceptable")),
        },
    }


def _files() -> dict[str, Any]:
    return {"type": "array", "items": _BINARY, "minItems": 1, "description": "The pages, in their order."}


def _form() -> dict[str, Any]:
    formats = ", ".join(f"`{kind}`" for kind in PageFormat)
    return {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {
            "file": _files(),
            "formats": {
                "type": "string",
                "default": "",
                "examples": ["musicxml,overlay"],
                "description": f"The files wanted, separated by commas: {formats}. None by default. "
                "`overlay` is the uploaded page, its notes coloured; one for each page.",
            },
            "colour_by": {
                "type": "string",
                "enum": list(ColourBy),
                "default": ColourBy.PITCH.value,
                "description": "What the colours of the overlay tell.",
            },
            "explain": {
                "type": "string",
                "enum": ["0", "1", "false", "true"],
                "default": "0",
                "description": "Whether to tell what each step decided, and on what evidence.",
            },
        },
    }


def _schemas() -> dict[str, Any]:
    def or_null(schema: dict[str, Any]) -> dict[str, Any]:
        return {"oneOf": [schema, {"type": "null"}], "description": "null where no staves were found"}

    return {
        "Note": _note(),
        "Symbol": object_of(
            **{"class": {"type": "string", "enum": [kind.value for kind in SymbolClass]}},
            box=_BOX,
            confidence=SHARE,
            role={"type": "string", "enum": [role.value for role in Role]},
            system=_INDEX_OR_NULL,
            staff=_INDEX_OR_NULL,
            note={**_INDEX_OR_NULL, "description": "index of the note that it is, or belongs to"},
        ),
        "System": _system(),
        "Page": object_of(
            file={**_INDEX, "description": "index of its file in the upload"},
            number={"type": "integer", "minimum": 1, "description": "of the page in its file"},
            width=INTEGER,
            height=INTEGER,
            systems={"type": "array", "items": schema_ref("System")},
            symbols={"type": "array", "items": schema_ref("Symbol")},
        ),
        "Recognition": {
            **object_of(
                id={"type": "string", "description": "the request's id"},
                model=object_of(name=STRING, version=STRING),
                context={
                    "type": ["string", "null"],
                    "description": "version of the model `context` that reread what was seen; null without",
                },
                message={
                    "type": "string",
                    "description": "what to know of pages that hold nothing; else empty",
                },
                key=or_null(KEY_SCHEMA),
                metre=or_null(METRE_SCHEMA),
                parts={"type": "array", "items": object_of(name=STRING, staves=INTEGER)},
                notes={"type": "array", "items": schema_ref("Note")},
                pages={"type": "array", "items": schema_ref("Page")},
                timings_s={
                    "type": "object",
                    "additionalProperties": NUMBER,
                    "description": "seconds that each stage took, summed over pages: open, queue, read, "
                    "prepare, model, staves, context, assembly, engraving, overlay",
                },
                files=files(),
            ),
            "additionalProperties": {
                "type": "array",
                "description": "`decisions`, where `explain` was asked for: step, place, value and evidence",
            },
        },
    }


def _system() -> dict[str, Any]:
    staff = object_of(box=_BOX, part=_INDEX, staff={"type": "integer", "minimum": 1})
    measure = object_of(
        number=INTEGER,
        index={**_INDEX, "description": "of the measure in the score"},
        box=_BOX,
        duration=_QUARTERS,
        adds_up={**_BOOLEAN, "description": "whether its voices fill it, and it lasts as its metre says"},
    )
    return object_of(
        box=_BOX,
        staves={"type": "array", "items": staff},
        measures={"type": "array", "items": measure},
    )


def _note() -> dict[str, Any]:
    return object_of(
        page={**_INDEX, "description": "index in `pages`"},
        system={**_INDEX, "description": "index in the page's systems"},
        symbol={**_INDEX, "description": "index in the page's symbols"},
        box=_BOX,
        part=_INDEX,
        staff={"type": "integer", "minimum": 1, "description": "number of the staff in its part"},
        voice={"type": "integer", "minimum": 1},
        measure={**_INDEX, "description": "index in the score"},
        measure_number=INTEGER,
        onset={**_QUARTERS, "description": "quarter notes from the measure's start"},
        duration={**_QUARTERS, "description": "quarter notes; 0 for a grace note"},
        type={"type": "string", "enum": [kind.value for kind in NoteType]},
        dots=INTEGER,
        pitch={"type": "integer", "description": "MIDI number; 60 is middle C"},
        step={"type": "string", "enum": list("CDEFGAB")},
        alter={"type": "integer", "minimum": -2, "maximum": 2},
        octave=INTEGER,
        tied_back=_BOOLEAN,
        tied_on=_BOOLEAN,
        grace=_BOOLEAN,
        confidence=SHARE,
    )
