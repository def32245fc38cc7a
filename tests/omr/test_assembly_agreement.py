"""One page, three answers: notes, MusicXML and MIDI agree note for note, whatever was seen on the page."""

from __future__ import annotations

import io
from collections import Counter
from fractions import Fraction
from random import Random

import mido
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from services.music.midi import write_score_midi
from services.music.musicxml import write_musicxml
from services.omr.assembly import RecognisedPage, assemble
from services.omr.assembly.recognition import FoundNote, Recognition
from services.omr.vocabulary import SymbolClass as S
from tests.omr.printed_pages import VALUES, Paper, sure

Heard = tuple[int, int, Fraction, Fraction, int]
"""Part, staff, onset and end in quarter notes from the beginning, MIDI pitch."""

STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
SIGNS = (S.SHARP, S.FLAT, S.NATURAL, S.DOUBLE_SHARP, S.DOUBLE_FLAT)
CLEFS = (S.G_CLEF, S.F_CLEF, S.C_CLEF)
BARLINES = (S.BARLINE_SINGLE, S.REPEAT_LEFT, S.REPEAT_RIGHT, S.BARLINE_FINAL)
SEEDS = st.integers(0, 2**32 - 1)


def any_pages(seed: int) -> list[RecognisedPage]:
    """One or two pages of anything: notes, rests, signs, ties, clefs and barlines in any place."""
    random = Random(seed)
    result = []
    for _ in range(random.randint(1, 2)):
        staves = random.randint(1, 3)
        groups = ((0, 0), (1, 2)) if staves == 3 else ((0, staves - 1),)
        paper = Paper(systems=random.randint(1, 2), staves=staves, groups=groups)
        for staff in range(len(paper.middles)):
            paper.clef(random.choice(CLEFS), 70, staff)
            for _ in range(random.randint(0, 8)):
                _write(random, paper, staff)
        for _ in range(random.randint(0, 4)):
            paper.barline(random.uniform(250, 900), *range(len(paper.middles)), kind=random.choice(BARLINES))
        result.append(paper.page())
    return result


def _write(random: Random, paper: Paper, staff: int) -> None:
    x = float(random.randint(150, 940))
    match random.choice(("note", "note", "note", "rest", "sign", "clef")):
        case "note":
            value = random.choice(VALUES)
            fields = {
                "tied_on": random.choice((0.02, 0.9)),
                "tied_back": random.choice((0.02, 0.9)),
                "grace": random.choice((0.01, 0.01, 0.01, 0.95)),
                "tuplet": sure(random.choice((0, 0, 0, 1)), 3),
                "dots": sure(random.choice((0, 0, 0, 1, 2)), 3),
            }
            for at in random.sample(range(-26, 27), random.randint(1, 3)):
                paper.note(x, staff, at, value, **fields)
        case "rest":
            paper.rest(x, staff, random.choice(VALUES))
        case "sign":
            paper.sign(random.choice(SIGNS), x, staff, random.randint(-9, 9))
        case "clef":
            paper.clef(random.choice(CLEFS), x, staff)


Written = tuple[int, int, int, Fraction, Fraction, str, int, int, bool]
"""Part, staff, measure, onset, duration, step, alteration, octave, grace."""


def in_answer(recognition: Recognition) -> Counter[Written]:
    """The notes of the answer."""
    return Counter(
        (
            note.part,
            note.staff,
            note.measure,
            note.onset,
            note.duration,
            note.pitch.step,
            note.pitch.alter,
            note.pitch.octave,
            note.grace,
        )
        for note in recognition.notes
    )


def in_musicxml(document: bytes) -> Counter[Written]:
    """The notes of a MusicXML document; every measure of every part must be full."""
    found: Counter[Written] = Counter()
    lengths: dict[int, set[Fraction]] = {}
    for p, part in enumerate(etree.fromstring(document).iter("part")):
        divisions = 1
        for m, measure in enumerate(part.iter("measure")):
            now = onset = Fraction(0)
            for element in measure:
                divisions = int(element.findtext("divisions", str(divisions)))
                length = Fraction(int(element.findtext("duration", "0")), divisions)
                if element.tag == "backup":
                    lengths.setdefault(m, set()).add(now)
                    now -= length
                if element.tag != "note":
                    continue
                if element.find("chord") is None:
                    onset, now = now, now + length
                pitch = element.find("pitch")
                if pitch is not None:
                    spelled = (pitch.findtext("step", ""), int(pitch.findtext("alter", "0")))
                    octave = int(pitch.findtext("octave", ""))
                    staff = int(element.findtext("staff", "1"))
                    grace = element.find("grace") is not None
                    found[p, staff, m, onset, length, *spelled, octave, grace] += 1
            lengths.setdefault(m, set()).add(now)
    assert all(len(each) == 1 for each in lengths.values())
    return found


def sounding(recognition: Recognition) -> list[tuple[FoundNote, Fraction, Fraction]]:
    """The notes that are struck, grace notes apart, with onset and end from the beginning."""
    assert recognition.score is not None
    starts = recognition.score.measure_starts()
    timed = sorted(
        (
            (starts[n.measure] + n.onset, starts[n.measure] + n.onset + n.duration, n)
            for n in recognition.notes
        ),
        key=lambda each: (each[0], each[1], each[2].staff),
    )
    struck: list[tuple[FoundNote, Fraction, Fraction]] = []
    for onset, end, note in timed:
        if note.grace:
            continue
        waiting = [
            i
            for i, (other, _, until) in enumerate(struck)
            if until == onset
            and other.part == note.part
            and other.pitch.midi == note.pitch.midi
            and note.tied_back
            and (other.tied_on or other.tied_back)
        ]
        if waiting:
            other, began, _ = struck[waiting[0]]
            struck[waiting[0]] = (other, began, end)
        else:
            struck.append((note, onset, end))
    return struck


def struck_in_midi(data: bytes) -> set[tuple[int, Fraction, int]]:
    """Track, position in quarter notes and pitch of everything struck."""
    file = mido.MidiFile(file=io.BytesIO(data))
    found = set()
    for number, track in enumerate(file.tracks[1:]):
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "note_on":
                found.add((number, Fraction(tick, file.ticks_per_beat), message.note))
    return found


@settings(max_examples=80)
@example(3459375)
@given(SEEDS)
def test_notes_musicxml_and_midi_agree(seed: int) -> None:
    recognition = assemble(any_pages(seed))
    if recognition.score is None:
        assert recognition.notes == ()
        return
    assert in_musicxml(write_musicxml(recognition.score)) == in_answer(recognition)
    tracks = {
        (p, staff): index
        for index, (p, staff) in enumerate(
            (p, staff)
            for p, part in enumerate(recognition.score.parts)
            for staff in range(1, part.staves + 1)
        )
    }
    struck = struck_in_midi(write_score_midi(recognition.score))
    expected = {
        (tracks[note.part, note.staff], onset, note.pitch.midi) for note, onset, _ in sounding(recognition)
    }
    # A note tied to the grace note just before it sounds on from that one.
    held = {
        (tracks[note.part, note.staff], round(onset * 1920), note.pitch.midi)
        for note, onset, _ in sounding(recognition)
        if note.tied_back and any(n.grace and n.tied_on and n.part == note.part for n in recognition.notes)
    }
    nearest = {(track, round(onset * 1920), pitch) for track, onset, pitch in expected}
    heard = {(track, round(onset * 1920), pitch) for track, onset, pitch in struck}
    graces = sum(note.grace for note in recognition.notes)
    assert nearest - held <= heard
    assert len(heard - nearest) <= graces


@settings(max_examples=40)
@given(SEEDS)
def test_sources_index_the_notes_and_boxes_lie_on_the_page(seed: int) -> None:
    recognition = assemble(any_pages(seed))
    for note in recognition.notes:
        width, height = recognition.pages[note.page].size
        assert 0 <= note.box.x <= note.box.x + note.box.width <= width
        assert 0 <= note.box.y <= note.box.y + note.box.height <= height
    if recognition.score is not None:
        for part in recognition.score.parts:
            assert len(part.measures) == len(recognition.score.parts[0].measures)
        sources = [head.source for _, _, chord in recognition.score.chords() for head in chord.heads]
        assert sorted(source for source in sources if source is not None) == list(
            range(len(recognition.notes))
        )
        for _, _, chord in recognition.score.chords():
            for head in chord.heads:
                assert recognition.notes[head.source or 0].pitch == head.pitch
