"""The stage that makes music of symbols, and files of the music; it runs in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.music.engraving import engrave
from services.music.midi import write_score_midi
from services.music.musicxml import write_musicxml
from services.music.score import Score
from services.omr.assembly import assemble
from services.omr.assembly.recognition import RecognisedPage, Recognition
from services.omr.options import PageFormat
from services.runtime.work import timed


@dataclass(frozen=True, slots=True)
class Notation:
    """What was written.

    Attributes:
        recognition: the music on the pages.
        files: those asked for that can be made of a score; none where there is no score.
        assembly_s: seconds that assembly took.
        engraving_s: seconds that writing the files took.
    """

    recognition: Recognition
    files: Mapping[PageFormat, bytes]
    assembly_s: float
    engraving_s: float


def write(pages: Sequence[RecognisedPage], formats: Sequence[PageFormat], title: str) -> Notation:
    """Assemble what was seen on pages, and write it in the formats asked for.

    Args:
        pages: in the order of the music.
        formats: which files to make.
        title: what the score is called where the pages do not tell.
    """
    timings_s: dict[str, float] = {}
    with timed(timings_s, "assembly"):
        recognition = assemble(pages)
    score = recognition.score
    if score is not None and not score.title:
        score = replace(score, title=title)
        recognition = replace(recognition, score=score)
    with timed(timings_s, "engraving"):
        files = _files(score, set(formats)) if score is not None else {}
    return Notation(
        recognition=recognition,
        files=files,
        assembly_s=timings_s["assembly"],
        engraving_s=timings_s["engraving"],
    )


def _files(score: Score, wanted: set[PageFormat]) -> dict[PageFormat, bytes]:
    files: dict[PageFormat, bytes] = {}
    drawn = wanted & {PageFormat.SVG, PageFormat.PDF}
    if PageFormat.MIDI in wanted:
        files[PageFormat.MIDI] = write_score_midi(score)
    if drawn or PageFormat.MUSICXML in wanted:
        musicxml = write_musicxml(score)
        if PageFormat.MUSICXML in wanted:
            files[PageFormat.MUSICXML] = musicxml
        if drawn:
            engraving = engrave(musicxml, svg=PageFormat.SVG in drawn, pdf=PageFormat.PDF in drawn)
            made = {PageFormat.SVG: engraving.svg, PageFormat.PDF: engraving.pdf}
            files.update({kind: made[kind] for kind in drawn})
    return files


def warm_up() -> None:
    """Load what the calls need, so that the first caller does not wait for it."""
    write((), (), "")
