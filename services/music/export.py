"""Export: the notes and their score in every file format that Copyist hands out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from services.music.engraving import engrave
from services.music.midi import write_midi
from services.music.musicxml import write_musicxml
from services.music.notes import Note
from services.music.plain import plain_key, plain_metre, plain_note, plain_tempo
from services.music.score import Score


class Format(StrEnum):
    """A file format, by the name that callers ask for it with."""

    MIDI = "midi"
    MUSICXML = "musicxml"
    PDF = "pdf"
    SVG = "svg"
    JSON = "json"
    CSV = "csv"


FILE_SUFFIX: Final = {
    Format.MIDI: ".mid",
    Format.MUSICXML: ".musicxml",
    Format.PDF: ".pdf",
    Format.SVG: ".svg",
    Format.JSON: ".json",
    Format.CSV: ".csv",
}

MEDIA_TYPE: Final = {
    Format.MIDI: "audio/midi",
    Format.MUSICXML: "application/vnd.recordare.musicxml+xml",
    Format.PDF: "application/pdf",
    Format.SVG: "image/svg+xml",
    Format.JSON: "application/json",
    Format.CSV: "text/csv; charset=utf-8",
}


def export(notes: Sequence[Note], score: Score, formats: Sequence[Format]) -> dict[Format, bytes]:
    """The files asked for. Pure computation; safe to call from any thread.

    Args:
        notes: the performed notes that `score` was made of, in the same order.
        score: their notation.
        formats: which files to make.

    Raises:
        NotationError: the score cannot be written or engraved.
    """
    files: dict[Format, bytes] = {}
    wanted = set(formats)
    drawn = wanted & {Format.SVG, Format.PDF}
    if Format.MIDI in wanted:
        files[Format.MIDI] = write_midi(notes, score)
    if drawn or Format.MUSICXML in wanted:
        musicxml = write_musicxml(score)
        if Format.MUSICXML in wanted:
            files[Format.MUSICXML] = musicxml
        if drawn:
            engraving = engrave(musicxml, svg=Format.SVG in drawn, pdf=Format.PDF in drawn)
            files.update({Format.SVG: engraving.svg, Format.PDF: engraving.pdf})
    if Format.JSON in wanted:
        files[Format.JSON] = write_json(notes, score)
    if Format.CSV in wanted:
        files[Format.CSV] = write_csv(notes)
    return {each: files[each] for each in dict.fromkeys(formats)}


def write_json(notes: Sequence[Note], score: Score) -> bytes:
    """Notes (times in seconds), key, metre and tempo as one JSON document, UTF-8."""
    document = {
        "notes": [plain_note(note) for note in notes],
        "key": plain_key(score.key),
        "metre": plain_metre(score.metre),
        "tempo": plain_tempo(score.tempo),
    }
    return json.dumps(document, ensure_ascii=False).encode()


def write_csv(notes: Sequence[Note]) -> bytes:
    """Notes as comma-separated values with a header line; times in seconds."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["onset_s", "offset_s", "pitch", "velocity", "confidence"])
    for note in notes:
        times = (f"{note.onset_s:.4f}", f"{note.offset_s:.4f}")
        writer.writerow([*times, note.pitch, note.velocity, f"{note.confidence:.4f}"])
    return out.getvalue().encode()
