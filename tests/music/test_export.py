"""Export: every format, and the names callers use."""

from __future__ import annotations

import csv
import io
import json

import pytest
from lxml import etree

from services.music.export import FILE_SUFFIX, MEDIA_TYPE, Format, export
from services.music.notate import notate
from services.music.notes import Note
from tests.music.examples import waltz


def test_every_format_has_suffix_and_media_type() -> None:
    assert set(FILE_SUFFIX) == set(MEDIA_TYPE) == set(Format)


def test_all_formats_at_once() -> None:
    notes = waltz()
    files = export(notes, notate(notes), tuple(Format))
    assert list(files) == list(Format)
    assert files[Format.MIDI].startswith(b"MThd")
    assert files[Format.PDF].startswith(b"%PDF-")
    assert etree.fromstring(files[Format.SVG]).tag == "{http://www.w3.org/2000/svg}svg"
    assert etree.fromstring(files[Format.MUSICXML]).tag == "score-partwise"


def test_json_holds_notes_and_analysis() -> None:
    notes = [Note(0.5, 1.0, 60, 64, 0.75)]
    score = notate(notes)
    document = json.loads(export(notes, score, [Format.JSON])[Format.JSON])
    assert document["notes"] == [
        {"onset_s": 0.5, "offset_s": 1.0, "pitch": 60, "velocity": 64, "confidence": 0.75}
    ]
    assert document["key"]["name"] == score.key.name
    assert document["metre"]["beats"] == score.metre.beats
    assert document["tempo"]["beats_s"] == pytest.approx(score.tempo.beats_s, abs=1e-4)


def test_csv_has_a_line_for_each_note() -> None:
    notes = waltz()
    text = export(notes, notate(notes), [Format.CSV])[Format.CSV].decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["pitch"]) for row in rows] == [note.pitch for note in notes]
    assert float(rows[0]["onset_s"]) == notes[0].onset_s
