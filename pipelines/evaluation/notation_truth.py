"""Scores with known notation, and performances of them: what notation is judged on.

A score's piano part is read with its measures, key, beats and note values, then performed with
changing tempo, uneven timing, pedal and a recogniser's mistakes. The truth remembers for every
performed note the written one.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from lxml import etree

from services.music.notes import Note

_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_GRACE_S = 0.07


@dataclass(frozen=True, slots=True)
class WrittenNote:
    """A note of a score, ties joined. Positions and lengths in quarter notes; a grace note lasts 0."""

    onset: Fraction
    duration: Fraction
    pitch: int
    step: str
    staff: int


@dataclass(slots=True)
class WrittenScore:
    """A piano part.

    Attributes:
        notes: in order of onset.
        measures: start of every measure and the end of the last, in quarter notes.
        metre: (beats, beat type) that most measures have.
        fifths: the key signature that most measures have.
        bpm: quarter notes a minute, if the score tells.
    """

    notes: list[WrittenNote] = field(default_factory=list)
    measures: list[Fraction] = field(default_factory=lambda: [Fraction(0)])
    metre: tuple[int, int] = (4, 4)
    fifths: int = 0
    bpm: float | None = None

    @property
    def beat(self) -> Fraction:
        """The felt beat in quarter notes: dotted in compound metres."""
        beats, kind = self.metre
        return Fraction(12, kind) if beats in (3, 6, 9, 12) and kind >= 8 else Fraction(4, kind)

    def beats(self) -> list[Fraction]:
        """Every beat from the first full measure's back to the start, and on to the end."""
        first = self.measures[1] if len(self.measures) > 2 else self.measures[0]
        start = first - (first // self.beat) * self.beat
        count = int((self.measures[-1] - start) / self.beat)
        return [start + i * self.beat for i in range(count + 1)]


def read_score(path: Path) -> WrittenScore | None:
    """The piano part of an .mxl file; none where no part has two staves."""
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".xml") and not n.startswith("META-INF"))
        root = etree.fromstring(archive.read(name))
    part = next((p for p in root.findall("part") if p.findtext("measure/attributes/staves") == "2"), None)
    if part is None:
        return None
    score = WrittenScore()
    sound = root.find(".//sound[@tempo]")
    score.bpm = float(sound.get("tempo", "0")) if sound is not None else None
    reader = _PartReader(score)
    for measure in part.findall("measure"):
        reader.read_measure(measure)
    score.notes.sort(key=lambda note: (note.onset, note.pitch))
    score.metre = max(reader.metres, key=lambda key: reader.metres[key])
    score.fifths = max(reader.keys, key=lambda key: reader.keys[key])
    return score


class _PartReader:
    def __init__(self, score: WrittenScore) -> None:
        self.score = score
        self.divisions = 1
        self.metre = (4, 4)
        self.fifths = 0
        self.metres: dict[tuple[int, int], int] = {}
        self.keys: dict[int, int] = {}
        self.open_ties: dict[tuple[int, Fraction], int] = {}

    def read_measure(self, measure: etree._Element) -> None:
        start = now = last_onset = self.score.measures[-1]
        furthest = start
        for element in measure:
            if element.tag == "attributes":
                self._read_attributes(element)
            elif element.tag in ("backup", "forward"):
                length = Fraction(int(element.findtext("duration", "0")), self.divisions)
                now += -length if element.tag == "backup" else length
            elif element.tag == "note":
                length = Fraction(int(element.findtext("duration", "0")), self.divisions)
                onset = last_onset if element.find("chord") is not None else now
                self._read_note(element, onset, length)
                if element.find("chord") is None:
                    last_onset, now = now, now + length
            furthest = max(furthest, now)
        beats, kind = self.metre
        self.metres[self.metre] = self.metres.get(self.metre, 0) + 1
        self.keys[self.fifths] = self.keys.get(self.fifths, 0) + 1
        self.score.measures.append(furthest if furthest > start else start + Fraction(4 * beats, kind))

    def _read_attributes(self, attributes: etree._Element) -> None:
        self.divisions = int(attributes.findtext("divisions", str(self.divisions)))
        self.fifths = int(attributes.findtext("key/fifths", str(self.fifths)))
        beats, kind = attributes.findtext("time/beats"), attributes.findtext("time/beat-type")
        if beats and kind and beats.isdigit():
            self.metre = (int(beats), int(kind))

    def _read_note(self, element: etree._Element, onset: Fraction, length: Fraction) -> None:
        pitch = element.find("pitch")
        if pitch is None or element.find("cue") is not None:
            return
        step = pitch.findtext("step", "C")
        midi = 12 * (int(pitch.findtext("octave", "4")) + 1) + _SEMITONES[step]
        midi += int(float(pitch.findtext("alter", "0")))
        notes = self.score.notes
        index = self.open_ties.pop((midi, onset), None)
        if index is not None and element.find("tie[@type='stop']") is not None:
            tied = notes[index]
            notes[index] = WrittenNote(tied.onset, tied.duration + length, midi, tied.step, tied.staff)
        else:
            index = len(notes)
            notes.append(WrittenNote(onset, length, midi, step, int(element.findtext("staff", "1"))))
        if element.find("tie[@type='start']") is not None:
            self.open_ties[(midi, onset + length)] = index


def excerpt(score: WrittenScore, first: int, count: int) -> WrittenScore:
    """Some measures of a score, as a score of their own."""
    bounds = score.measures[first : first + count + 1]
    notes = [
        WrittenNote(note.onset - bounds[0], note.duration, note.pitch, note.step, note.staff)
        for note in score.notes
        if bounds[0] <= note.onset < bounds[-1]
    ]
    measures = [bound - bounds[0] for bound in bounds]
    return WrittenScore(notes, measures, score.metre, score.fifths, score.bpm)


@dataclass(frozen=True, slots=True)
class PerformedScore:
    """A performance: notes, what each was written as (none for graces and mistakes), beats in seconds."""

    notes: list[Note]
    written: list[WrittenNote | None]
    beats_s: np.ndarray
    downbeats_s: np.ndarray


def perform(score: WrittenScore, rng: np.random.Generator) -> PerformedScore:
    """Play a score as people do, and hear it as a recogniser does."""
    # Some recordings are played by machines.
    human = float(rng.random() > 0.15)
    clock = _Clock(score, rng, human)
    pedalled = rng.random() < 0.6
    legato = rng.uniform(0.75, 1.02)
    loose_s = human * rng.uniform(0.004, 0.014)
    accent, top = rng.normal(2, 3), rng.normal(6, 4)
    chord_shift: dict[Fraction, float] = {}
    played: list[tuple[Note, WrittenNote | None]] = []
    last_of_pitch: dict[int, int] = {}
    for written in score.notes:
        if rng.random() < 0.03:
            continue
        shift = chord_shift.setdefault(written.onset, rng.normal(0, loose_s))
        onset = clock.at(written.onset) + shift
        onset += rng.normal(0, 0.005) - human * (0.008 if written.staff == 1 else 0)
        offset = clock.at(written.onset + written.duration * Fraction(legato).limit_denominator(64))
        if pedalled and rng.random() < 0.9:
            offset = max(offset, clock.pedal_up_after(onset))
        offset = max(offset + rng.normal(0, 0.03), onset + 0.04)
        loud = 60 + accent * (written.onset in clock.strong) + top * (written.staff == 1) + rng.normal(0, 7)
        grace = written.duration == 0
        if grace:
            onset, offset = onset - _GRACE_S, onset
        note = Note(max(onset, 0.0), max(offset, 0.02), written.pitch, int(np.clip(loud, 10, 120)))
        previous = last_of_pitch.get(written.pitch)
        if previous is not None and played[previous][0].offset_s > note.onset_s:
            before, what = played[previous]
            played[previous] = (Note(before.onset_s, max(before.onset_s + 0.02, note.onset_s - 0.01),
                                     before.pitch, before.velocity), what)  # fmt: skip
        last_of_pitch[written.pitch] = len(played)
        played.append((note, None if grace else written))
        if rng.random() < 0.015:
            ghost = Note(note.onset_s + abs(rng.normal(0, 0.02)), note.offset_s, note.pitch + 12, 30)
            played.append((ghost, None))
    played.sort(key=lambda pair: pair[0])
    beats = [clock.at(beat) for beat in score.beats()]
    return PerformedScore(
        [note for note, _ in played],
        [written for _, written in played],
        np.array(beats),
        np.array([clock.at(start) for start in score.measures[:-1]]),
    )


class _Clock:
    """Seconds at every place of a score: a tempo that wanders, and slows down towards the end."""

    def __init__(self, score: WrittenScore, rng: np.random.Generator, human: float) -> None:
        step = float(score.beat) / 2
        count = int(float(score.measures[-1]) / step) + 4
        bpm = score.bpm if score.bpm else rng.uniform(60, 130) * float(score.beat)
        wander = np.zeros(count)
        swing = human * rng.uniform(0.01, 0.04)
        for i in range(1, count):
            wander[i] = 0.93 * wander[i - 1] + rng.normal(0, swing)
        ritard = np.clip((np.arange(count) - (count - 10)) / 10, 0, 1) * human * rng.uniform(0, 0.5)
        lengths = step * 60 / bpm * np.exp(wander + ritard)
        self._positions = np.arange(count + 1) * step
        self._seconds = 0.3 + np.concatenate(([0.0], np.cumsum(lengths)))
        self.strong = set(score.measures)
        step = float(score.beat) * int(rng.choice([1, 2, 3, 4]))
        changes = np.arange(0.0, float(score.measures[-1]) + step, step)
        self._pedal = np.interp(changes, self._positions, self._seconds)

    def at(self, position: Fraction) -> float:
        """Seconds at a position in quarter notes."""
        return float(np.interp(float(position), self._positions, self._seconds))

    def pedal_up_after(self, time_s: float) -> float:
        """When the pedal is lifted next: a moment after each change of harmony."""
        index = int(np.searchsorted(self._pedal, time_s + 0.1))
        return float(self._pedal[min(index, len(self._pedal) - 1)]) + 0.03
