"""From symbols on staves to notation: all pages of a work together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from services.music.score import Clef
from services.omr.assembly.clefs import clef_of, usual_clef
from services.omr.assembly.finding import found_notes, found_pages
from services.omr.assembly.parts import Parts, SystemShape, align_parts
from services.omr.assembly.pitches import read_pitches
from services.omr.assembly.placing import StaffSymbol, place_symbols
from services.omr.assembly.reading import PlacedSystem, read_systems
from services.omr.assembly.recognition import RecognisedPage, Recognition
from services.omr.assembly.scoring import write_score
from services.omr.events import MeasureReading, PrintedEvent
from services.omr.page import System
from services.omr.rhythm import read_rhythm
from services.omr.vocabulary import CLEFS, HEADS

RhythmReader = Callable[
    [Sequence[Sequence[PrintedEvent]], Sequence[Fraction | None]], tuple[MeasureReading, ...]
]


def assemble(pages: Sequence[RecognisedPage], rhythm: RhythmReader = read_rhythm) -> Recognition:
    """The music on the pages of one work.

    What cannot be read costs only itself: a staff without a clef takes the usual one, a measure that does not
    add up keeps what was read of it.

    Args:
        pages: in order.
        rhythm: gives every chord and rest its time.
    """
    placed = [place_symbols(page) for page in pages]
    homes = [(p, s, system) for p, page in enumerate(pages) for s, system in enumerate(page.systems)]
    if not homes:
        return Recognition(found_pages(pages, placed, [], [], None, ()), (), None, ())
    shapes = [_shape(system, placed[p][s]) for p, s, system in homes]
    parts = align_parts(shapes)
    usual = _usual_clefs(parts, shapes)
    systems, decisions = read_systems(
        [
            PlacedSystem(p, s, system, staves, tuple(usual[i] for i in staves), tuple(placed[p][s]))
            for (p, s, system), staves in zip(homes, parts.staves, strict=True)
        ]
    )
    measures = [measure for system in systems for measure in system.measures]
    if not measures:
        return Recognition(found_pages(pages, placed, systems, [], parts, ()), (), None, tuple(decisions))
    metres = [measure.metre.measure_quarters if measure.metre else None for measure in measures]
    readings = rhythm([measure.events for measure in measures], metres)
    score, heads = write_score(systems, parts, readings, read_pitches(systems))
    notes = found_notes(pages, score, heads)
    found = found_pages(pages, placed, systems, readings, parts, notes, score)
    return Recognition(found, notes, score, tuple(decisions))


def _shape(system: System, symbols: Sequence[StaffSymbol]) -> SystemShape:
    """The staves' grouping and the clefs printed before any note."""
    clefs = []
    for staff in range(len(system.staves)):
        mine = [each for each in symbols if each.staff == staff]
        begin = min((each.x for each in mine if each.kind in HEADS), default=float("inf"))
        printed = [each for each in mine if each.kind in CLEFS and each.x < begin]
        clefs.append(clef_of(printed[0]) if printed else None)
    return SystemShape(system.groups, tuple(clefs))


def _usual_clefs(parts: Parts, shapes: Sequence[SystemShape]) -> dict[int, Clef]:
    """For each staff of the score the clef that it first has where one is seen, or the one most common."""
    usual = {}
    for first, last in parts.groups:
        for staff in range(first, last + 1):
            seen = (
                shape.clefs[staves.index(staff)]
                for shape, staves in zip(shapes, parts.staves, strict=True)
                if staff in staves
            )
            printed = next((clef for clef in seen if clef is not None), None)
            usual[staff] = printed or usual_clef(staff - first, last - first + 1)
    return usual
