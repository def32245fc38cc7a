"""Scores that were not performed: what they sound like, and how repeats and many voices are written."""

from __future__ import annotations

import io
from fractions import Fraction

import mido
import pytest
from lxml import etree

from services.errors import NotationError
from services.music.midi import write_score_midi
from services.music.musicxml import write_musicxml
from services.music.playback import play
from services.music.score import (
    TREBLE,
    Barline,
    Chord,
    ClefChange,
    Event,
    Head,
    Key,
    Measure,
    Metre,
    Mode,
    NoteType,
    Part,
    Rest,
    Score,
    SpelledPitch,
    Tempo,
    Voice,
)

C4, D4, G9 = SpelledPitch("C", 0, 4), SpelledPitch("D", 0, 4), SpelledPitch("G", 1, 9)
WHOLE = Fraction(4)


def chord(onset: int, quarters: int, *heads: Head, grace: bool = False) -> Chord:
    kinds = {0: NoteType.EIGHTH, 1: NoteType.QUARTER, 2: NoteType.HALF, 4: NoteType.WHOLE}
    return Chord(Fraction(onset), Fraction(quarters), kinds[quarters], heads, grace=grace)


def score(*measures: tuple[Event, ...], **first: object) -> Score:
    """A score of one part on one staff at 60 quarters a minute, one voice in each measure."""
    written = [Measure(n, WHOLE, (Voice(1, 1, events),)) for n, events in enumerate(measures, 1)]
    fields = {"key": Key(0, Mode.MAJOR), "metre": Metre(4, 4), "clefs": (ClefChange(1, Fraction(0), TREBLE),)}
    written[0] = Measure(1, WHOLE, written[0].voices, **(fields | first))  # type: ignore[arg-type]
    part = Part("Music", 1, tuple(written))
    return Score((part,), Key(0, Mode.MAJOR), Metre(4, 4), Tempo(60.0))


def sounds(given: Score) -> list[tuple[float, float, int]]:
    return [(note.onset_s, note.offset_s, note.pitch) for note in play(given)[0, 1]]


def test_tied_heads_sound_as_one() -> None:
    tied = score((chord(0, 4, Head(C4, tied_on=True)),), (chord(0, 4, Head(C4, tied_back=True)),))
    assert sounds(tied) == [(0.0, 8.0, 60)]


def test_a_tie_that_meets_no_note_is_struck() -> None:
    loose = score((chord(0, 2, Head(C4, tied_on=True)), chord(2, 2, Head(D4, tied_back=True))))
    assert sounds(loose) == [(0.0, 2.0, 60), (2.0, 4.0, 62)]


def test_only_the_tied_head_of_a_chord_is_held() -> None:
    held = score(
        (chord(0, 2, Head(C4, tied_on=True), Head(D4)), chord(2, 2, Head(C4, tied_back=True), Head(D4)))
    )
    assert sounds(held) == [(0.0, 2.0, 62), (0.0, 4.0, 60), (2.0, 4.0, 62)]


def test_grace_notes_are_struck_just_before() -> None:
    adorned = score((chord(0, 2, Head(C4)), chord(2, 0, Head(D4), grace=True), chord(2, 2, Head(C4))))
    assert sounds(adorned) == [(0.0, 2.0, 60), (1.875, 2.0, 62), (2.0, 4.0, 60)]


def test_midi_of_a_score_has_its_notes_and_a_track_for_each_staff() -> None:
    given = score((chord(0, 2, Head(C4)), chord(2, 2, Head(D4))))
    file = mido.MidiFile(file=io.BytesIO(write_score_midi(given)))
    assert len(file.tracks) == 2
    struck, tick = [], 0
    for message in file.tracks[1]:
        tick += message.time
        if message.type == "note_on":
            struck.append((tick / file.ticks_per_beat, message.note))
    assert struck == [(0.0, 60), (2.0, 62)]


def test_midi_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(NotationError, match="0 to 127"):
        write_score_midi(score((chord(0, 4, Head(G9)),)))


def test_repeats_are_written_at_both_ends() -> None:
    rest = (Rest(Fraction(0), WHOLE, NoteType.WHOLE, whole_measure=True),)
    document = etree.fromstring(write_musicxml(score(rest, opens_repeat=True, barline=Barline.REPEAT_END)))
    found = [
        (line.get("location"), line.findtext("bar-style"), line.find("repeat").get("direction"))  # type: ignore[union-attr]
        for line in document.iter("barline")
    ]
    assert found == [("left", "heavy-light", "forward"), ("right", "light-heavy", "backward")]


def test_no_two_staves_share_a_voice_number() -> None:
    rest = Rest(Fraction(0), WHOLE, NoteType.WHOLE, whole_measure=True)
    voices = tuple(Voice(number, staff, (rest,)) for staff in (1, 2) for number in range(1, 7))
    fields = {"key": Key(0, Mode.MAJOR), "metre": Metre(4, 4)}
    part = Part("Piano", 2, (Measure(1, WHOLE, voices, **fields),))  # type: ignore[arg-type]
    document = etree.fromstring(write_musicxml(Score((part,), Key(0, Mode.MAJOR), Metre(4, 4), Tempo(60.0))))
    numbers = [note.findtext("voice") for note in document.iter("note")]
    assert len(set(numbers)) == len(voices)
