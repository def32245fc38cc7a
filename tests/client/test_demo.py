"""`make demo`, run as it runs; and the picture it draws."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from services.client.pianoroll import draw, pitch_name
from services.music.notes import Note
from tests.client.command import heed_interrupts
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]


def start_demo(cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "services.client.demo"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,  # noqa: PLW1509
    )


def of_this_demo(cwd: Path) -> list[psutil.Process]:
    """What runs with its logs in this folder."""
    return [
        process
        for process in psutil.process_iter(["environ"])
        if str(cwd) in (process.info["environ"] or {}).get("COPYIST_RUN_DIR", "")
    ]


@pytest.mark.stack
@pytest.mark.slow
def test_demo_shows_what_was_heard_and_seen_and_leaves_nothing_running(tmp_path: Path) -> None:
    process = start_demo(tmp_path)
    shown, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr
    for part in (
        "notes",
        "│",
        "Key",
        "Metre",
        "beats a minute",
        "decode",
        "system 3: 3 staves",
        "its uppermost staff begins",
    ):
        assert part in shown
    for suffix in ("mid", "musicxml", "pdf", "svg", "json"):
        file = Path("out/demo") / f"demo.{suffix}"
        assert str(file) in shown
        assert (tmp_path / file).stat().st_size > 100
    for suffix in ("musicxml", "overlay.png"):
        assert (tmp_path / "out/demo" / f"demo-page.{suffix}").stat().st_size > 100
    assert not of_this_demo(tmp_path)


@pytest.mark.stack
@pytest.mark.slow
def test_interrupted_demo_stops_what_it_started(tmp_path: Path) -> None:
    process = start_demo(tmp_path)
    wait_for(lambda: bool(of_this_demo(tmp_path)))
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert stderr == "demo: interrupted; everything it started is stopped\n"
    assert not of_this_demo(tmp_path)


def test_pitches_are_named_as_in_scientific_notation() -> None:
    assert [pitch_name(pitch) for pitch in (21, 60, 61, 108)] == ["A0", "C4", "C♯4", "C8"]


def test_scale_rises_to_the_right() -> None:
    scale = [Note(float(step), step + 1.0, 60 + step, 64) for step in range(4)]
    picture = draw(scale, 4.0, width=22, height=2)
    assert picture == [
        "  D4 │        ▄▄▄▄▀▀▀▀",
        "  C4 │▄▄▄▄▀▀▀▀",
        "      ╵0 s",
    ]


def test_short_notes_at_the_very_end_are_drawn() -> None:
    picture = draw([Note(0.0, 0.1, 60, 64), Note(9.999, 10.0, 61, 64)], 10.0, width=46, height=4)
    assert picture[0] == "  C4 │▄" + " " * 38 + "▀"


def test_whole_keyboard_fits_the_height() -> None:
    picture = draw([Note(0.0, 1.0, pitch, 64) for pitch in range(21, 109)], 1.0, width=40, height=16)
    assert len(picture) == 16
    assert all(line[6:] == "█" * 34 for line in picture[1:-1])


def test_nothing_heard_is_no_picture() -> None:
    assert draw([], 10.0) == []
