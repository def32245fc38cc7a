"""Answers: names that are never paths, and JSON that is whole."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from services.amt.answer import as_json, as_zip, notes_as_json
from services.amt.transcriber import Transcription
from services.music.export import Format
from services.music.notes import Note
from services.runtime.answers import stem_of


@pytest.mark.parametrize(
    ("filename", "stem"),
    [
        ("prelude.mp3", "prelude"),
        ("../../etc/passwd.wav", "passwd"),
        ("C:\\music\\Für Elise.flac", "Für Elise"),
        ("a.b.wav", "a.b"),
        ("..", "recording"),
        ("", "recording"),
        ("/", "recording"),
        ("x\0y\n.wav", "xy"),
        ("long" * 100 + ".wav", ("long" * 100)[:100]),
    ],
)
def test_stems_are_never_paths(filename: str, stem: str) -> None:
    assert stem_of(filename, "recording") == stem


def _transcription(notes: int, files: dict[Format, bytes]) -> Transcription:
    heard = tuple(Note(0.5 * i, 0.5 * i + 0.4, 60, 64, 0.9) for i in range(notes))
    return Transcription("piano", "1", 9.0, heard, None, None, None, files, {"decode": 0.01})


@pytest.mark.parametrize("notes", [0, 1, 499, 500, 501, 1700])
def test_notes_are_written_whole_in_batches(notes: int) -> None:
    transcription = _transcription(notes, {})
    answer = json.loads(as_json(transcription, "id", "stem"))
    assert answer["notes"] == json.loads(notes_as_json(transcription.notes))
    assert [note["onset_s"] for note in answer["notes"]] == [0.5 * i for i in range(notes)]


def test_the_answer_in_a_zip_gives_way_to_the_json_file() -> None:
    content = as_zip(_transcription(1, {Format.JSON: b"{}", Format.CSV: b"x"}), "id", "waltz")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["waltz.json", "waltz.csv", "waltz.answer.json"]
        assert archive.read("waltz.json") == b"{}"
