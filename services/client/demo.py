"""`make demo`: a recording and a page become notation, through a whole stack that lives for just as long."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console

from services.client import pianoroll
from services.client.cli import FAILED, INTERRUPTED
from services.client.client import Copyist
from services.client.pages import Recognition
from services.client.results import Answer, Transcription
from services.errors import CopyistError
from services.local.options import SERVING, private
from services.local.stack import LocalStack

RECORDING: Final = Path(__file__).parent / "samples" / "demo.flac"
PAGE: Final = Path(__file__).parent / "samples" / "demo-page.png"
RESULTS: Final = Path("out") / "demo"
#: Not a temporary folder: when something does not start, its log must still be there to be read.
LOGS: Final = Path(".run") / "demo"
FORMATS: Final = ("midi", "musicxml", "pdf", "svg", "json")
#: Measures of which the notes are shown.
MEASURES_SHOWN: Final = 4


def main() -> int:
    """Run the demo; a failure is one line on standard error. Returns the exit status."""
    console = Console(highlight=False, soft_wrap=True)
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    try:
        console.print("Starting Triton and the services, on ports of their own ...")
        options = replace(private(LOGS), programs=SERVING)
        with LocalStack(options, report=lambda line: console.print(line.replace("copyist:", " "))) as stack:
            console.print(f"  all ready at {stack.http_url} after {time.monotonic() - started:.1f} s")
            with Copyist(stack.http_url, pages_url=stack.omr_http_url) as copyist:
                hear(copyist, console, RECORDING, RESULTS)
                see(copyist, console, PAGE, RESULTS)
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
    console.print(
        f"  [bold]Time[/]    {took_s:.1f} s for {heard.duration_s:.1f} s of music ({_stages(heard)})"
    )
    _show_files(console, written)


def see(copyist: Copyist, console: Console, page: Path, results: Path) -> None:
    """Have a page read, keep its files and show what was found.

    Raises:
        CopyistError: when the service cannot read it.
        OSError: when the page cannot be read, or the files cannot be written.
    """
    console.print(f"\nReading [bold]{_short(page)}[/] ...")
    started = time.monotonic()
    seen = copyist.recognize(page, formats=(*FORMATS, "overlay"))
    took_s = time.monotonic() - started
    written = seen.save(results)
    console.print(f"  [bold]{seen}[/] (model {seen.model.name}, version {seen.model.version})\n")
    for number, system in enumerate((s for page in seen.pages for s in page.systems), start=1):
        right = sum(measure.adds_up for measure in system.measures)
        of = len(system.measures)
        console.print(f"  system {number}: {len(system.staves)} staves, {of} measures, {right} add up")
    _show_measures(console, seen)
    console.print(f"\n  [bold]Time[/]    {took_s:.1f} s ({_stages(seen)})")
    _show_files(console, written)


def _show_measures(console: Console, seen: Recognition) -> None:
    """The notes of the uppermost staff in the first measures."""
    console.print("  its uppermost staff begins:")
    for measure in range(MEASURES_SHOWN):
        notes = [n for n in seen.notes if (n.part, n.staff, n.measure) == (0, 1, measure)]
        names = "  ".join(f"{pianoroll.pitch_name(n.pitch)} {n.duration:g}" for n in notes)
        if names:
            console.print(f"    {measure + 1} │ {names}", markup=False)


def _stages(answer: Answer) -> str:
    # Nobody else calls the demonstration's services: nothing waits.
    stages = {stage: seconds for stage, seconds in answer.timings_s.items() if stage != "queue"}
    return ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in stages.items())


def _show_files(console: Console, written: Sequence[Path]) -> None:
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
