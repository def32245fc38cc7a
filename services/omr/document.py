"""What was found on pages as JSON: the music, every note, and every page with its systems and symbols.

Lengths and onsets are in quarter notes, boxes are [x, y, width, height] in px of the upload.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from services.music.plain import plain_key, plain_metre
from services.omr.assembly.recognition import (
    Box,
    Decision,
    FoundMeasure,
    FoundNote,
    FoundPage,
    FoundSymbol,
    FoundSystem,
    Recognition,
)
from services.omr.uploads import PagePlace
from services.runtime.answers import array


def write_document(recognition: Recognition, places: Sequence[PagePlace]) -> bytes:
    """Write what was found as a JSON document of its own."""
    return b"{" + b"".join(members(recognition, places)) + b"}"


def write_notes(notes: Sequence[FoundNote]) -> bytes:
    """Write a JSON array of notes."""
    return b"".join(array(notes, _note))


def members(
    recognition: Recognition, places: Sequence[PagePlace], *, explain: bool = False
) -> Iterator[bytes]:
    """Write the members of a JSON object that tell what was found, piece by piece.

    Args:
        recognition: what was found.
        places: file and number of each page.
        explain: whether to tell what each step decided.
    """
    score = recognition.score
    music = {
        "key": plain_key(score.key) if score else None,
        "metre": plain_metre(score.metre) if score else None,
        "parts": [{"name": part.name, "staves": part.staves} for part in score.parts] if score else [],
    }
    yield json.dumps(music).encode()[1:-1]
    yield b', "notes": '
    yield from array(recognition.notes, _note)
    yield b', "pages": ['
    for index, (page, place) in enumerate(zip(recognition.pages, places, strict=True)):
        yield b", " if index else b""
        yield json.dumps(_page(page, place)).encode()[:-1]
        yield b', "symbols": '
        yield from array(page.symbols, _symbol)
        yield b"}"
    yield b"]"
    if explain:
        yield b', "decisions": '
        yield from array(recognition.decisions, _decision)


def _page(page: FoundPage, place: PagePlace) -> dict[str, Any]:
    width, height = page.size
    return {
        "file": place.file,
        "number": place.number,
        "width": width,
        "height": height,
        "systems": [_system(system) for system in page.systems],
    }


def _system(system: FoundSystem) -> dict[str, Any]:
    return {
        "box": _box(system.box),
        "staves": [
            {"box": _box(staff.box), "part": staff.part, "staff": staff.part_staff} for staff in system.staves
        ],
        "measures": [_measure(measure) for measure in system.measures],
    }


def _measure(measure: FoundMeasure) -> dict[str, Any]:
    return {
        "number": measure.number,
        "index": measure.index,
        "box": _box(measure.box),
        "duration": _quarters(measure.duration),
        "adds_up": measure.adds_up,
    }


def _symbol(symbol: FoundSymbol) -> dict[str, Any]:
    return {
        "class": symbol.kind.value,
        "box": _box(symbol.box),
        "confidence": round(symbol.confidence, 3),
        "role": symbol.role.value,
        "system": symbol.system,
        "staff": symbol.staff,
        "note": symbol.note,
    }


def _note(note: FoundNote) -> dict[str, Any]:
    return {
        "page": note.page,
        "system": note.system,
        "symbol": note.symbol,
        "box": _box(note.box),
        "part": note.part,
        "staff": note.staff,
        "voice": note.voice,
        "measure": note.measure,
        "measure_number": note.measure_number,
        "onset": _quarters(note.onset),
        "duration": _quarters(note.duration),
        "type": note.kind.value,
        "dots": note.dots,
        "pitch": note.pitch.midi,
        "step": note.pitch.step,
        "alter": note.pitch.alter,
        "octave": note.pitch.octave,
        "tied_back": note.tied_back,
        "tied_on": note.tied_on,
        "grace": note.grace,
        "confidence": round(note.confidence, 3),
    }


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "step": decision.step,
        "page": decision.page,
        "system": decision.system,
        "staff": decision.staff,
        "measure": decision.measure,
        "value": decision.value,
        "evidence": dict(decision.evidence),
    }


def _box(box: Box) -> list[float]:
    return [round(edge, 1) for edge in (box.x, box.y, box.width, box.height)]


def _quarters(value: Fraction) -> float:
    return round(float(value), 6)
