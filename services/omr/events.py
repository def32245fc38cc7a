"""What the search over rhythm is given and what it answers: printed events, and their place in time.

A printed event is a chord (heads on one stem) or a rest, with what was read of it; the search gives each an
onset, a duration and a voice, for all staves of a system together.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from services.music.score import NoteType


@dataclass(frozen=True, slots=True)
class PrintedEvent:
    """A chord or a rest as it stands on the page, without its time.

    Attributes:
        x: where it stands, in px of the prepared page; for a chord the centre of its heads on the stem's
            usual side.
        staff: index of its staff in the system, 0 for the uppermost.
        is_rest: whether it is a rest.
        position: mean staff position of its heads, or of the rest, in half spaces.
        stem: log-probabilities of no stem, up, down; all alike for a rest.
        durations: log-probabilities of the undotted values whole to 64th, over all of its heads.
        dots: log-probabilities of 0, 1, 2 dots.
        tuplet: log-probabilities of no tuplet, a triplet, another.
        figure: the number that is printed over or under it where it belongs to a marked tuplet, else None.
        beam: an id that events under the same beam share, else None.
        confidence: 0 to 1: how sure it is that it is there at all.
    """

    x: float
    staff: int
    is_rest: bool
    position: float
    stem: tuple[float, float, float]
    durations: tuple[float, ...]
    dots: tuple[float, ...]
    tuplet: tuple[float, ...]
    figure: int | None = None
    beam: int | None = None
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    """The reading of one printed event.

    Attributes:
        onset: in quarter notes from the measure's start.
        duration: in quarter notes, dots and tuplet included.
        kind: undotted value.
        dots: how many.
        tuplet: (actual, normal), such as (3, 2), or None.
        voice: 1 for the upper voice of its staff, 2 for the lower, further ones above.
        whole_measure: whether it is a rest that stands for the whole measure.
    """

    onset: Fraction
    duration: Fraction
    kind: NoteType
    dots: int
    tuplet: tuple[int, int] | None
    voice: int
    whole_measure: bool = False


@dataclass(frozen=True, slots=True)
class MeasureReading:
    """The reading of one measure of a system.

    Attributes:
        events: as many as were given, in the same order; None for one that was judged not to be there.
        duration: of the measure, in quarter notes.
        score: log-likelihood of the reading; comparable between readings of the same measure alone.
        adds_up: whether every staff that has events is filled without gap, and the measure lasts as its metre
            says (or is shorter with good reason: an upbeat, the last one, one that a repeat splits).
    """

    events: tuple[PlacedEvent | None, ...]
    duration: Fraction
    score: float
    adds_up: bool
