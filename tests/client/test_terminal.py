"""The `copyist` command as its users see it: bars, lines, help, interruption, and what goes wrong."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.client.command import COMMAND, as_asked, copyist, environment, heed_interrupts, on_terminal, tree
from tests.client.conftest import write_tone
from tests.client.scripted import Answer, Asked, Scripted, problem
from tests.waiting import PATIENCE_S, wait_for


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
    assert time.monotonic() - started < 30  # one file's retries, not twenty's
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 20
    assert all("Nothing answers" in line for line in result.stderr.splitlines())


def test_interruption_leaves_whole_files_only(service: Scripted, tmp_path: Path) -> None:
    def first_only(asked: Asked, count: int) -> Answer:
        answer = as_asked(asked, count)
        answer.delay_s = 0.0 if b'filename="a' in asked.body else 120.0
        return answer

    service.answers = first_only
    for name in ("a.wav", "b.wav", "c.wav"):
        write_tone(tmp_path / "in" / name, 0.1)
    arguments = ["transcribe", "in", "-o", "out", "--format", "midi,pdf", "--jobs", "1", "--url", service.url]
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509
    )
    wait_for(lambda: len(service.uploads()) == 2)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert tree(tmp_path / "out") == ["a.mid", "a.pdf"]


def test_bars_on_a_terminal(service: Scripted, tmp_path: Path) -> None:
    seen = threading.Event()

    def slowly(asked: Asked, count: int) -> Answer:
        if b'filename="c' in asked.body:  # the last one is not answered until the bar shows the others
            seen.wait(PATIENCE_S)
        return as_asked(asked, count)

    service.answers = slowly
    for name in ("a.wav", "bad.wav", "c.wav"):
        write_tone(tmp_path / name, 0.1)
    status, shown = on_terminal(
        ["transcribe", ".", "-o", "out", "--format", "midi", "--url", service.url],
        tmp_path,
        lambda shown: "2/3" in shown and seen.set(),
    )
    assert status == 1
    assert "working" in shown
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


def test_status_tells_why_not(service: Scripted) -> None:
    service.ready = problem(503, "model-unavailable", "The model is loading.")
    result = copyist("status", "--url", service.url)
    assert result.returncode == 1
    assert result.stdout == f"{service.url}: not ready. The model is loading.\n"


@pytest.mark.parametrize("arguments", [["transcribe", __file__], ["status"]])
def test_something_else_at_the_address_is_told_as_such(service: Scripted, arguments: list[str]) -> None:
    service.ready = Answer(404, b"<html>Not Found</html>", content_type="text/html")
    result = copyist(*arguments, "--url", service.url)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "Check that the address is Copyist's" in line


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
