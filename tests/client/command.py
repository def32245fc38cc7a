"""Running the `copyist` command as its users do: as a process of its own."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from services.client.vocabulary import FILE_SUFFIX
from tests.client.scripted import Answer, Asked, good, problem

COMMAND = [sys.executable, "-m", "services.client.cli"]
ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}


def heed_interrupts() -> None:
    """In a child about to start: a shell that runs the tests in the background may ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def copyist(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command, and see that nobody is ever shown a trace."""
    result = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment(),
        cwd=cwd,
        check=False,
    )
    assert "Traceback" not in result.stderr
    return result


def _plain(shown: bytes) -> str:
    """What was shown, without the terminal's own commands."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode(errors="replace"))


def on_terminal(
    arguments: list[str], cwd: Path, watch: Callable[[str], object] = lambda shown: None
) -> tuple[int, str]:
    """Run the command on a pseudo-terminal; its exit status, and all that it showed.

    Args:
        arguments: of the command.
        cwd: the folder to run it in.
        watch: is told, again and again, what was shown so far.
    """
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
            watch(_plain(shown))
    except OSError:  # how Linux tells that the other side has closed
        pass
    os.close(controller)
    return process.wait(timeout=60), _plain(shown)


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


def tree(directory: Path) -> list[str]:
    """Every file under a folder, hidden ones too."""
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())
