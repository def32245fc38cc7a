"""The score: notation as plain, frozen values, from wherever it came.

A transcribed recording and a recognised page both become a `Score`; the writers (MusicXML, MIDI,
engraving) know nothing else. Every length and position is an exact `Fraction` of a quarter note.
Positions inside a measure count from its start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import cache
from typing import Final

_SEMITONES: Final = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_ACCIDENTAL_WORDS: Final = {-2: "-double-flat", -1: "-flat", 0: "", 1: "-sharp", 2: "-double-sharp"}
_FIFTHS_ORDER: Final = "FCGDAEB"


class Mode(StrEnum):
    """The two modes that a key can have."""

    MAJOR = "major"
    MINOR = "minor"


class Barline(StrEnum):
    """The line that closes a measure."""

    REGULAR = "regular"
    DOUBLE = "double"
    FINAL = "final"
    REPEAT_END = "repeat-end"


class ClefSign(StrEnum):
    """What a clef looks like: the note that it names on its line."""

    G = "G"
    F = "F"
    C = "C"
    PERCUSSION = "percussion"


class NoteType(StrEnum):
    """Undotted note values, longest first, by their MusicXML names."""

    BREVE = "breve"
    WHOLE = "whole"
    HALF = "half"
    QUARTER = "quarter"
    EIGHTH = "eighth"
    SIXTEENTH = "16th"
    THIRTY_SECOND = "32nd"
    SIXTY_FOURTH = "64th"
    HUNDRED_TWENTY_EIGHTH = "128th"

    @property
    def quarters(self) -> Fraction:
        """Length in quarter notes: 4 for a whole note."""
        return _TYPE_QUARTERS[self]

    @property
    def flags(self) -> int:
        """How many flags or beams it carries: 0 for a quarter note or longer."""
        return max(0, list(NoteType).index(self) - list(NoteType).index(NoteType.QUARTER))


_TYPE_QUARTERS: Final = {kind: Fraction(8, 2**i) for i, kind in enumerate(NoteType)}


def fifths_of(step: str, alter: int) -> int:
    """Place of a note name on the line of fifths: C is 0, G is 1, F is -1, F sharp is 6."""
    return _FIFTHS_ORDER.index(step) - 1 + 7 * alter


def name_at_fifths(fifths: int) -> tuple[str, int]:
    """Step and alteration at a place on the line of fifths; the inverse of `fifths_of`."""
    return _FIFTHS_ORDER[(fifths + 1) % 7], (fifths + 1) // 7


@dataclass(frozen=True, slots=True)
class Key:
    """A key, or a key signature with its mode.

    Attributes:
        fifths: sharps (positive) or flats (negative) in the signature, -7 to 7.
        mode: major or minor.
        confidence: how sure the analysis is, 0 to 1; 1 where it was read from a page.
    """

    fifths: int
    mode: Mode
    confidence: float = 1.0

    @property
    def name(self) -> str:
        """Such as `E-flat major` or `F-sharp minor`."""
        step, alter = name_at_fifths(self.fifths + (3 if self.mode is Mode.MINOR else 0))
        return f"{step}{_ACCIDENTAL_WORDS[alter]} {self.mode.value}"


@dataclass(frozen=True, slots=True)
class Metre:
    """A time signature.

    Attributes:
        beats: upper figure.
        beat_type: lower figure, a power of two.
        confidence: how sure the analysis is, 0 to 1; 1 where it was read from a page.
    """

    beats: int
    beat_type: int
    confidence: float = 1.0

    @property
    def measure_quarters(self) -> Fraction:
        """Length of a full measure in quarter notes."""
        return Fraction(4 * self.beats, self.beat_type)

    @property
    def is_compound(self) -> bool:
        """Whether beats divide into three: 3/8 (one beat), 6/8, 9/8, 12/8."""
        return self.beats in (3, 6, 9, 12) and self.beat_type >= 8

    @property
    def beat_quarters(self) -> Fraction:
        """Length of the beat that is felt: a dotted note in compound metres."""
        return Fraction(4, self.beat_type) * (3 if self.is_compound else 1)


@dataclass(frozen=True, slots=True)
class Tempo:
    """How the score lies in time.

    Attributes:
        bpm: beats a minute, the median over the whole performance.
        beats_s: time of every beat, in seconds, strictly increasing; empty if nothing was performed.
        unit: length of one beat in quarter notes.
        start: position of the first of `beats_s` in the score, in quarter notes from its start; it
            may be negative where the first measure begins between two beats.
    """

    bpm: float
    beats_s: tuple[float, ...] = ()
    unit: Fraction = Fraction(1)
    start: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class SpelledPitch:
    """A pitch as written: `SpelledPitch("E", -1, 4)` is the E flat above middle C.

    Attributes:
        step: letter, `A` to `G`.
        alter: semitones up (sharps) or down (flats), -2 to 2.
        octave: the octave from C to B; middle C begins octave 4.
    """

    step: str
    alter: int
    octave: int

    @property
    def midi(self) -> int:
        """MIDI number: 60 is middle C."""
        return 12 * (self.octave + 1) + _SEMITONES[self.step] + self.alter


@dataclass(frozen=True, slots=True)
class Head:
    """One notehead of a chord.

    Attributes:
        pitch: what is written.
        tied_back: whether a tie from the previous event of the same pitch ends here.
        tied_on: whether a tie to the next event of the same pitch begins here.
        source: index of the performed note that it writes down, where there is one.
    """

    pitch: SpelledPitch
    tied_back: bool = False
    tied_on: bool = False
    source: int | None = None


@dataclass(frozen=True, slots=True)
class Tuplet:
    """Membership of a tuplet: `actual` notes in the time of `normal`.

    Attributes:
        actual: notes in the group, 3 for a triplet.
        normal: notes of the same value that would fill its time, 2 for a triplet.
        opens: whether this event begins the group.
        closes: whether this event ends the group.
    """

    actual: int
    normal: int
    opens: bool = False
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Chord:
    """One or more noteheads on one stem.

    Attributes:
        onset: position in the measure, in quarter notes.
        duration: sounding length in quarter notes; 0 for a grace note.
        kind: undotted note value as written.
        heads: noteheads, lowest first; never empty.
        dots: augmentation dots.
        tuplet: the tuplet that it belongs to.
        grace: whether it is a grace note, played before what follows.
        staccato: whether it carries a staccato dot.
    """

    onset: Fraction
    duration: Fraction
    kind: NoteType
    heads: tuple[Head, ...]
    dots: int = 0
    tuplet: Tuplet | None = None
    grace: bool = False
    staccato: bool = False


@dataclass(frozen=True, slots=True)
class Rest:
    """A silence. `whole_measure` rests are centred; invisible ones only fill a voice.

    Attributes: as of `Chord`.
    """

    onset: Fraction
    duration: Fraction
    kind: NoteType
    dots: int = 0
    tuplet: Tuplet | None = None
    whole_measure: bool = False
    visible: bool = True


Event = Chord | Rest


@dataclass(frozen=True, slots=True)
class Voice:
    """Events that follow each other without gap or overlap.

    Attributes:
        number: 1 is the upper voice of a staff (stems up where there are two), 2 the lower.
        staff: the staff that it is written on, 1 for the uppermost of the part.
        events: in time order; together they last exactly as long as the measure.
    """

    number: int
    staff: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Clef:
    """A clef on a line of the staff, counted from the lowest; `octaves` is +1 for an 8 above it."""

    sign: ClefSign
    line: int
    octaves: int = 0


TREBLE: Final = Clef(ClefSign.G, 2)
BASS: Final = Clef(ClefSign.F, 4)


@dataclass(frozen=True, slots=True)
class ClefChange:
    """A clef that takes effect on a staff at a position in the measure."""

    staff: int
    onset: Fraction
    clef: Clef


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of one part.

    Attributes:
        number: as printed; 0 for a pickup.
        duration: its actual length in quarter notes.
        voices: all voices of all staves, by staff and then by number.
        key: key signature, where it begins or changes here.
        metre: time signature, where it begins or changes here.
        clefs: clefs, where they begin or change here.
        barline: the line at its end.
        pickup: whether it is shorter than its metre because the music begins inside it.
        opens_repeat: whether a repeat begins with it.
    """

    number: int
    duration: Fraction
    voices: tuple[Voice, ...]
    key: Key | None = None
    metre: Metre | None = None
    clefs: tuple[ClefChange, ...] = ()
    barline: Barline = Barline.REGULAR
    pickup: bool = False
    opens_repeat: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """An instrument: `staves` staves that are played together."""

    name: str
    staves: int
    measures: tuple[Measure, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """A whole piece; all parts have the same number of measures.

    Attributes:
        parts: at least one.
        key: the main key.
        metre: the main time signature.
        tempo: how it lies in time.
        title: printed on the first page; may be empty.
    """

    parts: tuple[Part, ...]
    key: Key
    metre: Metre
    tempo: Tempo
    title: str = ""

    def measure_starts(self) -> list[Fraction]:
        """Start of every measure, and the end of the last, in quarter notes from the beginning."""
        starts = [Fraction(0)]
        for measure in self.parts[0].measures:
            starts.append(starts[-1] + measure.duration)
        return starts

    def chords(self) -> Iterator[tuple[Fraction, Voice, Chord]]:
        """Every chord with its position in the score (quarter notes) and its voice, part by part."""
        starts = self.measure_starts()
        for part in self.parts:
            for start, measure in zip(starts, part.measures, strict=False):
                for voice in measure.voices:
                    for event in voice.events:
                        if isinstance(event, Chord):
                            yield start + event.onset, voice, event


@cache
def note_values(longest: NoteType = NoteType.WHOLE, dots: int = 2) -> dict[Fraction, tuple[NoteType, int]]:
    """Every length in quarter notes that one notehead can have, with its type and dots.

    Args:
        longest: no value longer than this type undotted.
        dots: the most dots allowed.
    """
    values: dict[Fraction, tuple[NoteType, int]] = {}
    for kind in NoteType:
        if kind.quarters > longest.quarters:
            continue
        for count in range(dots + 1):
            values.setdefault(kind.quarters * (2 - Fraction(1, 2**count)), (kind, count))
    return values
