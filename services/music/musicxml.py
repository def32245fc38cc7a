"""MusicXML 4.0 (partwise), written straight from the score.

Element order follows the W3C schema. Accidentals and beams are worked out here, because readers such
as Verovio draw only what is spelled out.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm
from typing import Final

from lxml import etree

from services.music.accidentals import HeadPlace, accidentals_of
from services.music.beaming import Beam, beams_of
from services.music.score import (
    Barline,
    Chord,
    ClefChange,
    Event,
    Head,
    Key,
    Measure,
    Metre,
    Mode,
    Part,
    Rest,
    Score,
    SpelledPitch,
    Tempo,
    Tuplet,
    Voice,
    note_values,
)

_DOCTYPE: Final = (
    '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" '
    '"http://www.musicxml.org/dtds/partwise.dtd">'
)
_ACCIDENTAL_NAMES: Final = {-2: "flat-flat", -1: "flat", 0: "natural", 1: "sharp", 2: "double-sharp"}
_BARLINES: Final = {
    Barline.DOUBLE: "light-light",
    Barline.FINAL: "light-heavy",
    Barline.REPEAT_END: "light-heavy",
}
_USUAL_VOICES: Final = 4
_BEAT_VALUES: Final = note_values(dots=1)


def write_musicxml(score: Score) -> bytes:
    """The score as an uncompressed MusicXML 4.0 document, UTF-8; the same bytes for the same score."""
    root = etree.Element("score-partwise", version="4.0")
    if score.title:
        _text(etree.SubElement(root, "work"), "work-title", score.title)
    encoding = etree.SubElement(etree.SubElement(root, "identification"), "encoding")
    _text(encoding, "software", "Copyist")
    for element in ("accidental", "beam"):
        etree.SubElement(encoding, "supports", element=element, type="yes")
    part_list = etree.SubElement(root, "part-list")
    for number, part in enumerate(score.parts, start=1):
        entry = etree.SubElement(part_list, "score-part", id=f"P{number}")
        _text(entry, "part-name", part.name)
    for number, part in enumerate(score.parts, start=1):
        _write_part(etree.SubElement(root, "part", id=f"P{number}"), part, score)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", doctype=_DOCTYPE, pretty_print=True)


def _write_part(parent: etree._Element, part: Part, score: Score) -> None:
    writer = _PartWriter(part)
    for index, measure in enumerate(part.measures):
        element = etree.SubElement(parent, "measure", number=str(measure.number))
        if measure.pickup:
            element.set("implicit", "yes")
        writer.write(element, measure, tempo=score.tempo if index == 0 else None)


def _divisions(part: Part) -> int:
    """The fewest divisions of a quarter note that make every duration whole."""
    durations = [measure.duration for measure in part.measures]
    events = (e for measure in part.measures for voice in measure.voices for e in voice.events)
    return lcm(*{d.denominator for d in (*durations, *(event.duration for event in events))})


def _voices_per_staff(part: Part) -> int:
    """How many voice numbers each staff needs, so that no two staves share one."""
    numbers = (voice.number for measure in part.measures for voice in measure.voices)
    return max(_USUAL_VOICES, max(numbers, default=1))


class _PartWriter:
    """Writes the measures of one part in order; remembers the key and metre that hold."""

    def __init__(self, part: Part) -> None:
        self._divisions = _divisions(part)
        self._staves = part.staves
        self._voices_per_staff = _voices_per_staff(part)
        self._key = Key(0, Mode.MAJOR)
        self._metre = Metre(4, 4)

    def write(self, parent: etree._Element, measure: Measure, tempo: Tempo | None) -> None:
        """Fill a `measure` element; `tempo` is given for the first measure alone."""
        self._key = measure.key or self._key
        self._metre = measure.metre or self._metre
        if measure.opens_repeat:
            barline = etree.SubElement(parent, "barline", location="left")
            _text(barline, "bar-style", "heavy-light")
            etree.SubElement(barline, "repeat", direction="forward")
        first = tempo is not None
        at_start = [change for change in measure.clefs if change.onset == 0]
        if first or measure.key or measure.metre or at_start:
            self._write_attributes(parent, measure, at_start, first=first)
        if tempo is not None:
            _write_tempo(parent, tempo)
        signs = accidentals_of(measure, self._key)
        for index, voice in enumerate(measure.voices):
            if index:
                _text(etree.SubElement(parent, "backup"), "duration", self._units(measure.duration))
            self._write_voice(parent, measure, index, voice, signs)
        if measure.barline in _BARLINES:
            barline = etree.SubElement(parent, "barline", location="right")
            _text(barline, "bar-style", _BARLINES[measure.barline])
            if measure.barline is Barline.REPEAT_END:
                etree.SubElement(barline, "repeat", direction="backward")

    def _voice_number(self, voice: Voice) -> int:
        return (voice.staff - 1) * self._voices_per_staff + voice.number

    def _units(self, duration: Fraction) -> int:
        return int(duration * self._divisions)

    def _write_attributes(
        self, parent: etree._Element, measure: Measure, clefs: list[ClefChange], *, first: bool
    ) -> None:
        attributes = etree.SubElement(parent, "attributes")
        if first:
            _text(attributes, "divisions", self._divisions)
        if measure.key:
            key = etree.SubElement(attributes, "key")
            _text(key, "fifths", measure.key.fifths)
            _text(key, "mode", measure.key.mode.value)
        if measure.metre:
            time = etree.SubElement(attributes, "time")
            _text(time, "beats", measure.metre.beats)
            _text(time, "beat-type", measure.metre.beat_type)
        if first and self._staves > 1:
            _text(attributes, "staves", self._staves)
        for change in clefs:
            _write_clef(attributes, change)

    def _write_voice(
        self,
        parent: etree._Element,
        measure: Measure,
        index: int,
        voice: Voice,
        signs: dict[HeadPlace, int],
    ) -> None:
        missing = self._metre.measure_quarters - measure.duration
        lead = missing if measure.pickup else Fraction(0)
        opens_staff = index == 0 or measure.voices[index - 1].staff != voice.staff
        clefs = [c for c in measure.clefs if opens_staff and c.onset > 0 and c.staff == voice.staff]
        beams = beams_of(voice.events, self._metre, lead)
        for e, event in enumerate(voice.events):
            while clefs and clefs[0].onset <= event.onset:
                _write_clef(etree.SubElement(parent, "attributes"), clefs.pop(0))
            if isinstance(event, Rest):
                self._write_rest(parent, event, voice)
                continue
            for h, head in enumerate(event.heads):
                note = self._write_head(parent, event, head, voice, signs.get((index, e, h)), first=h == 0)
                if h == 0:
                    _write_beams(note, beams[e])
                _write_notations(note, event, head, first=h == 0)

    def _write_rest(self, parent: etree._Element, rest: Rest, voice: Voice) -> None:
        note = etree.SubElement(parent, "note")
        if not rest.visible:
            note.set("print-object", "no")
        element = etree.SubElement(note, "rest")
        if rest.whole_measure:
            element.set("measure", "yes")
        _text(note, "duration", self._units(rest.duration))
        _text(note, "voice", self._voice_number(voice))
        if not rest.whole_measure:
            _write_value(note, rest)
        if self._staves > 1:
            _text(note, "staff", voice.staff)
        if rest.tuplet and (rest.tuplet.opens or rest.tuplet.closes):
            _write_tuplet(etree.SubElement(note, "notations"), rest.tuplet)

    def _write_head(
        self, parent: etree._Element, chord: Chord, head: Head, voice: Voice, sign: int | None, *, first: bool
    ) -> etree._Element:
        note = etree.SubElement(parent, "note")
        if chord.grace:
            etree.SubElement(note, "grace", slash="yes")
        if not first:
            etree.SubElement(note, "chord")
        _write_pitch(note, head.pitch)
        if not chord.grace:
            _text(note, "duration", self._units(chord.duration))
        for kind in _ties(head):
            etree.SubElement(note, "tie", type=kind)
        _text(note, "voice", self._voice_number(voice))
        _write_value(note, chord, sign)
        if self._staves > 1:
            _text(note, "staff", voice.staff)
        return note


def _ties(head: Head) -> list[str]:
    return [kind for kind, tied in (("stop", head.tied_back), ("start", head.tied_on)) if tied]


def _write_tempo(parent: etree._Element, tempo: Tempo) -> None:
    kind, dots = _BEAT_VALUES[tempo.unit]
    direction = etree.SubElement(parent, "direction", placement="above")
    metronome = etree.SubElement(etree.SubElement(direction, "direction-type"), "metronome")
    _text(metronome, "beat-unit", kind.value)
    for _ in range(dots):
        etree.SubElement(metronome, "beat-unit-dot")
    _text(metronome, "per-minute", round(tempo.bpm))
    _text(direction, "staff", 1)
    etree.SubElement(direction, "sound", tempo=f"{float(tempo.unit) * tempo.bpm:.2f}")


def _write_clef(attributes: etree._Element, change: ClefChange) -> None:
    clef = etree.SubElement(attributes, "clef", number=str(change.staff))
    _text(clef, "sign", change.clef.sign.value)
    _text(clef, "line", change.clef.line)
    if change.clef.octaves:
        _text(clef, "clef-octave-change", change.clef.octaves)


def _write_pitch(note: etree._Element, spelled: SpelledPitch) -> None:
    pitch = etree.SubElement(note, "pitch")
    _text(pitch, "step", spelled.step)
    if spelled.alter:
        _text(pitch, "alter", spelled.alter)
    _text(pitch, "octave", spelled.octave)


def _write_value(note: etree._Element, event: Event, sign: int | None = None) -> None:
    """Note type, dots, accidental and tuplet ratio, in the schema's order."""
    _text(note, "type", event.kind.value)
    for _ in range(event.dots):
        etree.SubElement(note, "dot")
    if sign is not None:
        _text(note, "accidental", _ACCIDENTAL_NAMES[sign])
    if event.tuplet:
        ratio = etree.SubElement(note, "time-modification")
        _text(ratio, "actual-notes", event.tuplet.actual)
        _text(ratio, "normal-notes", event.tuplet.normal)


def _write_beams(note: etree._Element, beams: Sequence[Beam]) -> None:
    for level, beam in enumerate(beams, start=1):
        _text(note, "beam", beam.value).set("number", str(level))


def _write_notations(note: etree._Element, chord: Chord, head: Head, *, first: bool) -> None:
    ties = _ties(head)
    tuplet = chord.tuplet if first and chord.tuplet and (chord.tuplet.opens or chord.tuplet.closes) else None
    if not (ties or tuplet or (chord.staccato and first)):
        return
    notations = etree.SubElement(note, "notations")
    for kind in ties:
        etree.SubElement(notations, "tied", type=kind)
    if tuplet:
        _write_tuplet(notations, tuplet)
    if chord.staccato and first:
        etree.SubElement(etree.SubElement(notations, "articulations"), "staccato")


def _write_tuplet(notations: etree._Element, tuplet: Tuplet) -> None:
    if tuplet.opens:
        etree.SubElement(notations, "tuplet", type="start")
    if tuplet.closes:
        etree.SubElement(notations, "tuplet", type="stop")


def _text(parent: etree._Element, tag: str, value: object) -> etree._Element:
    element = etree.SubElement(parent, tag)
    element.text = str(value)
    return element
