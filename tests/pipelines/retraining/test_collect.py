"""What is given to learn from: scores, and recordings with their MIDI files."""

from __future__ import annotations

import json
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from pipelines.corpora.recordings import pairs, read_notes, read_pieces
from pipelines.retraining.errors import NoTrainingDataError
from pipelines.retraining.plan import BY_NAME
from pipelines.retraining.results import COLLECTED, RECORDINGS, SCORES
from pipelines.retraining.run import write_json
from pipelines.retraining.step import do
from pipelines.retraining.steps import collect
from services.amt.contract import SAMPLE_RATE_HZ
from services.errors import CopyistError
from tests.pipelines.retraining.runs import Place


def performance(
    folder: Path, name: str, seconds: float = 130.0, *, extra_s: float = 0.0
) -> tuple[Path, Path]:
    """A recording at 44.1 kHz and its MIDI file: a note a second, every other one under the pedal."""
    track = mido.MidiTrack()
    for second in range(int(seconds + extra_s)):
        if second % 2:
            track.append(mido.Message("control_change", control=64, value=127))
        track.append(mido.Message("note_on", note=60 + second % 12, velocity=80, time=0))
        track.append(mido.Message("note_off", note=60 + second % 12, time=250))
        track.append(mido.Message("control_change", control=64, value=0, time=750))
    midi = mido.MidiFile(ticks_per_beat=500)  # at 120 beats a minute: a tick is 1 ms
    midi.tracks.append(track)
    midi.save(folder / f"{name}.midi")
    time_s = np.arange(int(seconds * 44_100)) / 44_100
    soundfile.write(folder / f"{name}.wav", 0.2 * np.sin(2 * np.pi * 440 * time_s), 44_100)
    return folder / f"{name}.wav", folder / f"{name}.midi"


def test_sounds_are_paired_with_the_midi_files_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "2004").mkdir()
    sound, midi = performance(tmp_path / "2004", "etude", 10)
    (tmp_path / "alone.wav").write_bytes(sound.read_bytes())
    assert pairs(tmp_path) == [(sound, midi)]


def test_notes_sound_as_long_as_the_pedal_holds_them(tmp_path: Path) -> None:
    notes = read_notes(performance(tmp_path, "etude", 4)[1])
    assert notes[:, 0].tolist() == pytest.approx([0, 1, 2, 3])
    assert (notes[:, 1] - notes[:, 0]).tolist() == pytest.approx([0.25, 1.0, 0.25, 1.0])


def test_a_recording_is_cut_into_pieces_with_their_notes(tmp_path: Path) -> None:
    made = list(read_pieces(*performance(tmp_path, "etude")))
    assert [round(audio.size / SAMPLE_RATE_HZ) for audio, _ in made] == [65, 65]
    assert all(notes[:, 0].max() < 65 and notes[:, 1].min() > 0 for _, notes in made)
    assert sum(len(notes) for _, notes in made) >= 130


def test_a_midi_file_of_something_else_is_told(tmp_path: Path) -> None:
    with pytest.raises(CopyistError, match="does not belong"):
        list(read_pieces(*performance(tmp_path, "etude", 10, extra_s=30)))


def test_scores_and_recordings_are_collected_by_their_digests(place: Place) -> None:
    performance(place.scores, "etude", 20)
    (place.scores / "broken.wav").write_bytes(b"no sound")
    (place.scores / "broken.mid").write_bytes(b"no notes")
    run = place.run()
    do(BY_NAME["collect"], run, collect.run)
    made = run.output("collect")
    found = json.loads((made / COLLECTED).read_text())["files"]
    assert sorted(each["name"] for each in found) == ["etude.wav", "falling.musicxml", "rising.musicxml"]
    assert len(list((made / SCORES).iterdir())) == 2
    assert [path.name[:32] for path in (made / RECORDINGS).iterdir()] == [
        each["sha256"][:32] for each in found if each["kind"] == "recording"
    ]


def test_a_folder_with_nothing_to_learn_from_is_told(place: Place) -> None:
    run = place.run()
    (place.folder / "nothing").mkdir()
    write_json(run.folder / "record.json", run.record.to_json() | {"data": [str(place.folder / "nothing")]})
    with pytest.raises(NoTrainingDataError, match="nothing to learn piano from"):
        do(BY_NAME["collect"], run, collect.run)
