"""The `copyist` command as its users run it: a process of its own, judged by files, lines and exit status."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.client.vocabulary import FILE_SUFFIX
from tests.client.conftest import write_tone
from tests.client.scripted import Answer, Asked, Scripted, good, problem

COMMAND = [sys.executable, "-m", "services.client.cli"]
ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


def copyist(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command, and see that nobody is ever shown a trace."""
    result = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        cwd=cwd,
        check=False,
    )
    assert "Traceback" not in result.stderr
    return result


def as_asked(asked: Asked, count: int) -> Answer:
    """A transcription with the files that were asked for; refuses what is called bad."""
    if b'filename="bad' in asked.body:
        return problem(422, "unreadable-media", "This is no audio.")
    formats = asked.parts()["formats"].decode().split(",")
    files = [
        {
            "name": f"x{FILE_SUFFIX[name]}",
            "format": name,
            "media_type": "text/plain",
            "href": "data:text/plain;base64,c29uZw==",
        }
        for name in formats
    ]
    return good(files=files)


@pytest.fixture
def service(scripted: Scripted) -> Scripted:
    scripted.answers = as_asked
    return scripted


def tree(directory: Path) -> list[str]:
    """Every file under a folder, hidden ones too."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


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
    assert "No audio file is in this folder" in result.stderr


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


def test_names_that_are_no_valid_text_or_would_steer_the_terminal(service: Scripted, tmp_path: Path) -> None:
    for name in ("caf\udce9.wav", "\x1b[2Jred.wav", "bad\nline.wav"):
        write_tone(tmp_path / "in" / name, 0.1)
    result = copyist("transcribe", "in", "-o", "out", "--format", "midi", "--url", service.url, cwd=tmp_path)
    assert result.returncode == 1
    assert "in/caf\\udce9.wav: 2 notes" in result.stdout
    assert "in/\\x1b[2Jred.wav: 2 notes" in result.stdout
    assert result.stderr == "copyist: in/bad\\nline.wav: This is no audio. Do otherwise.\n"
    assert tree(tmp_path / "out") == ["\x1b[2Jred.mid", "caf\udce9.mid"]


def test_terminal_of_few_letters(service: Scripted, tmp_path: Path) -> None:
    write_tone(tmp_path / "ノクターン.wav", 0.1)
    result = subprocess.run(
        [*COMMAND, "transcribe", ".", "-o", "out", "--format", "midi", "--url", service.url],
        cwd=tmp_path,
        env={**environment(), "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert tree(tmp_path / "out") == ["ノクターン.mid"]


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
    assert "written over a recording" in result.stderr
    assert path.read_bytes() == b"in truth audio"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["transcribe"],
        ["sing"],
        ["transcribe", "x.wav", "--format", "midi,mp3"],
        ["transcribe", "x.wav", "--format", ","],
        ["transcribe", "x.wav", "--quantise", "1/7"],
        ["transcribe", "x.wav", "--tempo", "-3"],
        ["transcribe", "x.wav", "--jobs", "0"],
        ["transcribe", __file__, "--url", "nonsense"],
    ],
)
def test_wrong_command_line(arguments: list[str]) -> None:
    result = copyist(*arguments)
    assert result.returncode == 2
    assert result.stderr


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
    def slowly(asked: Asked, count: int) -> Answer:
        answer = as_asked(asked, count)
        answer.delay_s = 0.2
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


@pytest.mark.parametrize("arguments", [["transcribe", __file__], ["status"]])
def test_no_service_is_one_line_that_says_how_to_start_it(
    nobody: str, arguments: list[str], tmp_path: Path
) -> None:
    result = copyist(*arguments, "--url", nobody, cwd=tmp_path)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert nobody in line
    assert "make up" in line


def test_service_that_goes_away_is_not_waited_for_with_every_file(scripted: Scripted, tmp_path: Path) -> None:
    scripted.vanishing = True
    for index in range(20):
        write_tone(tmp_path / f"{index}.wav", 0.05)
    started = time.monotonic()
    result = copyist("transcribe", tmp_path, "-o", tmp_path, "--jobs", "1", "--url", scripted.url)
    assert time.monotonic() - started < 15  # one file's retries, not twenty's
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 20
    assert all("Nothing answers" in line for line in result.stderr.splitlines())


def test_result_that_cannot_be_written_is_a_failure_of_that_file(
    service: Scripted, tone: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/tone.mid").mkdir()
    result = copyist("transcribe", tone, "-o", tmp_path / "out", "--url", service.url)
    assert result.returncode == 1
    assert result.stderr.startswith(f"copyist: {tone}: ")
    assert tree(tmp_path / "out") == []


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_interruption_leaves_whole_files_only(service: Scripted, tmp_path: Path) -> None:
    def first_only(asked: Asked, count: int) -> Answer:
        answer = as_asked(asked, count)
        answer.delay_s = 0.0 if b'filename="a' in asked.body else 5.0
        return answer

    service.answers = first_only
    for name in ("a.wav", "b.wav", "c.wav"):
        write_tone(tmp_path / "in" / name, 0.1)
    arguments = ["transcribe", "in", "-o", "out", "--format", "midi,pdf", "--jobs", "1", "--url", service.url]
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    )
    until(lambda: len(service.uploads()) == 2)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=4)
    assert process.returncode == 130
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert tree(tmp_path / "out") == ["a.mid", "a.pdf"]


def on_terminal(arguments: list[str], cwd: Path) -> tuple[int, str]:
    """Run the command on a pseudo-terminal; its exit status, and all that it showed."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env={**environment(), "TERM": "xterm"},
        stdout=terminal,
        stderr=terminal,
        stdin=terminal,
    )
    os.close(terminal)
    shown = b""
    try:
        while piece := os.read(controller, 65536):
            shown += piece
    except OSError:  # how Linux tells that the other side has closed
        pass
    os.close(controller)
    return process.wait(timeout=30), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


def test_bars_on_a_terminal(service: Scripted, tmp_path: Path) -> None:
    def slowly(asked: Asked, count: int) -> Answer:
        answer = as_asked(asked, count)
        answer.delay_s = 0.5
        return answer

    service.answers = slowly
    for name in ("a.wav", "bad.wav", "c.wav"):
        write_tone(tmp_path / name, 0.1)
    status, shown = on_terminal(
        ["transcribe", ".", "-o", "out", "--format", "midi", "--url", service.url], tmp_path
    )
    assert status == 1
    assert "listening" in shown
    assert "2/3" in shown
    assert "copyist: bad.wav: This is no audio. Do otherwise." in shown
    assert "2 notes, E-flat major" in shown
    assert tree(tmp_path / "out") == ["a.mid", "c.mid"]


def test_status_tells_models(service: Scripted) -> None:
    service.answers = lambda asked, count: Answer(body=b'{"models": [{"name": "piano", "version": "1"}]}')
    result = copyist("status", "--url", service.url)
    assert result.returncode == 0, result.stderr
    assert "ready" in result.stdout
    assert "piano  version 1" in result.stdout


def test_help_has_examples_and_starts_at_once() -> None:
    result = copyist("transcribe", "--help")
    assert "copyist transcribe prelude.flac -o scores" in result.stdout
    imported = subprocess.run(
        [sys.executable, "-c", "import sys, services.client.cli; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    ).stdout.split()
    assert not {"bentoml", "verovio", "numpy", "grpc", "lxml", "starlette"} & set(imported)


def test_shell_completion_completes(tmp_path: Path) -> None:
    result = subprocess.run(
        COMMAND,
        capture_output=True,
        text=True,
        check=False,
        env={
            **environment(),
            "_COPYIST_COMPLETE": "bash_complete",
            "COMP_WORDS": "copyist trans",
            "COMP_CWORD": "1",
        },
    )
    assert "transcribe" in result.stdout
