"""The stage that turns notes into notation and files; it runs in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.music.export import Format, export
from services.music.notate import NotationOptions, notate
from services.music.notes import Note
from services.music.score import Key, Metre, Tempo
from services.runtime.work import timed


@dataclass(frozen=True, slots=True)
class Notation:
    """What was written.

    Attributes:
        key, metre, tempo: what the analysis found; None where there are no notes.
        files: the formats asked for.
        notation_s: seconds that the analysis took.
        engraving_s: seconds that writing the files took.
    """

    key: Key | None
    metre: Metre | None
    tempo: Tempo | None
    files: Mapping[Format, bytes]
    notation_s: float
    engraving_s: float


def write(notes: tuple[Note, ...], options: NotationOptions, formats: tuple[Format, ...]) -> Notation:
    """Write notes down as a score, and the score in the formats asked for."""
    timings_s: dict[str, float] = {}
    with timed(timings_s, "notation"):
        score = notate(notes, options)
    with timed(timings_s, "engraving"):
        files = export(notes, score, formats) if formats else {}
    return Notation(
        key=score.key if notes else None,
        metre=score.metre if notes else None,
        tempo=score.tempo if notes else None,
        files=files,
        notation_s=timings_s["notation"],
        engraving_s=timings_s["engraving"],
    )


def warm_up() -> None:
    """Load and run everything once, so that the first caller does not wait for it."""
    write((Note(0.0, 0.5, 60, 64),), NotationOptions(), (Format.MUSICXML, Format.SVG))
