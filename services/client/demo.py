"""`make demo`: a recording becomes notation, through a whole stack that lives for just as long."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console

from services.client import pianoroll
from services.client.cli import FAILED, INTERRUPTED
from services.client.client import Copyist
from services.client.results import Transcription
from services.errors import CopyistError
from services.local.options import private
from services.local.stack import LocalStack

RECORDING: Final = Path(__file__).parent / "samples" / "demo.flac"
RESULTS: Final = Path("out") / "demo"
#: Not a temporary folder: when something does not start, its log must still be there to be read.
LOGS: Final = Path(".run") / "demo"
FORMATS: Final = ("midi", "musicxml", "pdf", "svg", "json")


def main() -> int:
    """Run the demo; a failure is one line on standard error. Returns the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    try:
        console.print("Starting Triton and the audio service, on ports of their own ...")
        with LocalStack(
            private(LOGS), report=lambda line: console.print(line.replace("copyist:", " "))
        ) as stack:
            console.print(f"  all ready at {stack.http_url} after {time.monotonic() - started:.1f} s")
            with Copyist(stack.http_url) as copyist:
                hear(copyist, console, RECORDING, RESULTS)
            console.print()
        console.print(f"Done in {time.monotonic() - started:.0f} s. To keep a service running: make up")
    except (CopyistError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("demo: interrupted; everything it started is stopped", file=sys.stderr)
        return INTERRUPTED
    return 0


def hear(copyist: Copyist, console: Console, recording: Path, results: Path) -> None:
    """Have a recording transcribed, keep its files and show what was heard.

    Raises:
        CopyistError: when the service cannot transcribe it.
        OSError: when the recording cannot be read, or the files cannot be written.
    """
    console.print(f"\nTranscribing [bold]{_short(recording)}[/] ...")
    started = time.monotonic()
    heard = copyist.transcribe(recording, formats=FORMATS)
    took_s = time.monotonic() - started
    written = heard.save(results)
    _show_notes(console, heard)
    _show_facts(console, heard)
    stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in heard.timings_s.items())
    console.print(f"  [bold]Time[/]    {took_s:.1f} s for {heard.duration_s:.1f} s of music ({stages})")
    for line, path in enumerate(written):
        console.print(f"  [bold]{'' if line else 'Files':8}[/]{path}")


def _show_notes(console: Console, heard: Transcription) -> None:
    model = f"model {heard.model.name}, version {heard.model.version}"
    if not heard.notes:
        console.print(f"  No notes were heard ({model}).")
        return
    pitches = [note.pitch for note in heard.notes]
    span = f"{pianoroll.pitch_name(min(pitches))} to {pianoroll.pitch_name(max(pitches))}"
    console.print(f"  [bold]{len(heard.notes)} notes[/] from {span} ({model})\n")
    for line in pianoroll.draw(heard.notes, heard.duration_s):
        console.print(line, markup=False)
    console.print()


def _show_facts(console: Console, heard: Transcription) -> None:
    if heard.key:
        console.print(f"  [bold]Key[/]     {heard.key.name} ({heard.key.confidence:.0%} sure)")
    if heard.metre:
        console.print(f"  [bold]Metre[/]   {heard.metre} ({heard.metre.confidence:.0%} sure)")
    if heard.tempo:
        console.print(f"  [bold]Tempo[/]   {heard.tempo.bpm:.0f} beats a minute")


def _short(path: Path) -> Path:
    """The path from here, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Let SIGTERM unwind like Ctrl-C, so that the stack is stopped."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
