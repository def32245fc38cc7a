"""`copyist transcribe`, judged by the files it writes, its lines and its exit status."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.client.command import as_asked, copyist, tree
from tests.client.conftest import write_tone
from tests.client.scripted import Answer, Asked, Scripted
from tests.waiting import PATIENCE_S


def test_results_are_named_after_the_recording(service: Scripted, tone: Path, tmp_path: Path) -> None:
    result = copyist("transcribe", tone, "-o", tmp_path / "out", "--url", service.url)
    assert result.returncode == 0, result.stderr
    assert tree(tmp_path / "out") == ["tone.mid", "tone.musicxml", "tone.pdf"]
    assert (tmp_path / "out/tone.mid").read_bytes() == b"song"
    assert result.stdout.startswith(f"[1/1] {tone}: 2 notes, E-flat major, 3/4, 120 bpm")
    assert str(tmp_path / "out/tone.pdf") in result.stdout
    assert result.stderr == ""


def test_options_reach_the_service(service: Scripted, tone: Path, tmp_path: Path) -> None:
    copyist(
        *("transcribe", tone, "-o", tmp_path, "--url", service.url, "--format", "csv, json,csv"),
        *("--tempo", "168", "--quantise", "1/8t"),
    )
    parts = service.uploads()[0].parts()
    assert parts.pop("file") == tone.read_bytes()
    assert parts == {"instrument": b"piano", "formats": b"csv,json", "tempo": b"168", "quantise": b"1/8t"}


def test_one_bad_file_does_not_keep_the_others(service: Scripted, tmp_path: Path) -> None:
    for name in ("a", "bad", "c"):
        write_tone(tmp_path / f"{name}.wav", 0.1)
    result = copyist(
        "transcribe",
        *sorted(tmp_path.glob("*.wav")),
        "nowhere.wav",
        "-o",
        tmp_path / "out",
        "--url",
        service.url,
    )
    assert result.returncode == 1
    assert tree(tmp_path / "out") == [
        f"{name}{suffix}" for name in "ac" for suffix in (".mid", ".musicxml", ".pdf")
    ]
    assert sorted(result.stderr.splitlines()) == [
        f"copyist: {tmp_path}/bad.wav: This is no audio. Do otherwise.",
        "copyist: nowhere.wav: There is no such file. Check the path.",
    ]


def test_folder_stands_for_its_audio_and_is_mirrored(service: Scripted, tmp_path: Path) -> None:
    for name in ("one.wav", "cd2/one.WAV", "cd2/.hidden.wav", ".git/x.wav"):
        write_tone(tmp_path / "in" / name, 0.1)
    (tmp_path / "in/notes.txt").write_text("no audio")
    result = copyist(
        "transcribe", tmp_path / "in", "-o", tmp_path / "out", "--format", "midi", "--url", service.url
    )
    assert result.returncode == 0, result.stderr
    assert tree(tmp_path / "out") == ["cd2/one.mid", "one.mid"]


def test_folder_without_audio_is_a_failure(service: Scripted, tmp_path: Path) -> None:
    result = copyist("transcribe", tmp_path, "-o", tmp_path, "--url", service.url)
    assert result.returncode == 1
    assert "Nothing to read is in this folder (looked for .aac" in result.stderr


@pytest.mark.parametrize("absolute", [True, False])
def test_pattern_that_no_shell_expanded(service: Scripted, tmp_path: Path, absolute: bool) -> None:
    for name in ("b.wav", "a.wav"):
        write_tone(tmp_path / name, 0.1)
    pattern = str(tmp_path / "*.wav") if absolute else "*.wav"
    result = copyist(
        "transcribe", pattern, "-o", "out", "--format", "midi", "--url", service.url, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert tree(tmp_path / "out") == ["a.mid", "b.mid"]


def test_recording_named_twice_is_done_once(service: Scripted, tone: Path, tmp_path: Path) -> None:
    copyist("transcribe", tone, tone.parent, "-o", tmp_path, "--format", "midi", "--url", service.url)
    assert len(service.uploads()) == 1


def test_dots_in_a_name_are_kept(service: Scripted, tmp_path: Path) -> None:
    path = write_tone(tmp_path / "op. 9 no. 2.wav", 0.1)
    copyist("transcribe", path, "-o", tmp_path, "--format", "midi", "--url", service.url)
    assert (tmp_path / "op. 9 no. 2.mid").exists()


def test_two_recordings_for_one_result_are_refused_beforehand(service: Scripted, tmp_path: Path) -> None:
    first, second = write_tone(tmp_path / "a/x.wav", 0.1), write_tone(tmp_path / "b/x.wav", 0.1)
    result = copyist("transcribe", first, second, "-o", tmp_path / "out", "--url", service.url)
    assert result.returncode == 2
    assert f"{first} and {second} would both be written to" in result.stderr
    assert not service.asked
    assert not (tmp_path / "out").exists()


def test_recording_is_never_written_over(service: Scripted, tmp_path: Path) -> None:
    path = tmp_path / "x.mid"
    path.write_bytes(b"in truth audio")
    result = copyist("transcribe", path, "-o", tmp_path, "--url", service.url)
    assert result.returncode == 2
    assert "written over a file that is to be read" in result.stderr
    assert path.read_bytes() == b"in truth audio"


def test_existing_results_are_skipped_when_all_are_there(service: Scripted, tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        write_tone(tmp_path / name, 0.1)
    for name in ("a.mid", "a.csv", "b.mid"):
        (tmp_path / name).write_bytes(b"old")
    result = copyist(
        *("transcribe", tmp_path, "-o", tmp_path, "--format", "midi,csv", "--skip-existing"),
        *("--url", service.url),
    )
    assert result.returncode == 0, result.stderr
    assert "1 of 2 skipped" in result.stdout
    assert len(service.uploads()) == 1
    assert (tmp_path / "a.mid").read_bytes() == b"old"
    assert (tmp_path / "b.mid").read_bytes() == b"song"


def test_all_skipped_needs_no_service(nobody: str, tone: Path, tmp_path: Path) -> None:
    (tmp_path / "tone.mid").write_bytes(b"old")
    result = copyist(
        "transcribe", tone, "-o", tmp_path, "--format", "midi", "--skip-existing", "--url", nobody
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("jobs", [1, 3])
def test_as_many_at_once_as_said(service: Scripted, tmp_path: Path, jobs: int) -> None:
    together = threading.Barrier(jobs)

    def slowly(asked: Asked, count: int) -> Answer:
        together.wait(PATIENCE_S)  # none is answered until there are so many
        answer = as_asked(asked, count)
        answer.delay_s = 0.3  # in which there may come more
        return answer

    service.answers = slowly
    for index in range(6):
        write_tone(tmp_path / f"{index}.wav", 0.05)
    result = copyist(
        "transcribe", tmp_path, "-o", tmp_path, "--format", "midi", "--jobs", str(jobs), "--url", service.url
    )
    assert result.returncode == 0, result.stderr
    assert service.most_at_once == jobs
    assert len(tree(tmp_path)) == 12


def test_result_that_cannot_be_written_is_a_failure_of_that_file(
    service: Scripted, tone: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/tone.mid").mkdir()
    result = copyist("transcribe", tone, "-o", tmp_path / "out", "--url", service.url)
    assert result.returncode == 1
    assert result.stderr.startswith(f"copyist: {tone}: ")
    assert tree(tmp_path / "out") == []
