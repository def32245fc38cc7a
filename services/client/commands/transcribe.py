"""`copyist transcribe`: recordings in, notation files out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from services.client.async_client import AsyncCopyist
from services.client.batch import Job, check_clashes, plan, write_down_all
from services.client.commands.options import BUSY_S, FormatList, directory_option, missing, url_option
from services.client.display import BarDisplay, Display
from services.client.exchange import TranscriptionOptions
from services.client.progress import Progress
from services.client.results import Transcription
from services.client.retry import RetryPolicy
from services.client.vocabulary import AUDIO_SUFFIXES, FASTEST_BPM, FILE_SUFFIX, QUANTISE, SLOWEST_BPM
from services.errors import InputError

DEFAULT_FORMATS: Final = "midi,musicxml,pdf"


@click.command(
    epilog="""\b
Examples:
  copyist transcribe prelude.flac -o scores
  copyist transcribe album/ -o scores --format midi,csv --jobs 4
  copyist transcribe *.mp3 -o scores --skip-existing
  copyist transcribe waltz.wav -o scores --tempo 168 --quantise 1/8t
"""
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@directory_option
@click.option(
    "--format",
    "formats",
    type=FormatList(FILE_SUFFIX),
    default=DEFAULT_FORMATS,
    show_default=True,
    help=f"What to write, separated by commas: {', '.join(FILE_SUFFIX)}.",
)
@click.option("--instrument", default="piano", show_default=True, help="What plays.")
@click.option(
    "--tempo",
    type=click.FloatRange(SLOWEST_BPM, FASTEST_BPM),
    metavar="BPM",
    help="Beats a minute, if known.  [default: found by listening]",
)
@click.option(
    "--quantise",
    type=click.Choice(QUANTISE),
    default="auto",
    show_default=True,
    help="Finest note value of the notation; t is a triplet's.",
)
@click.option("--skip-existing", is_flag=True, help="Leave out recordings whose results are all there.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    metavar="N",
    default=2,
    show_default=True,
    help="How many recordings at the same time.",
)
@url_option
def transcribe(
    files: tuple[str, ...],
    directory: Path,
    formats: tuple[str, ...],
    instrument: str,
    tempo: float | None,
    quantise: str,
    skip_existing: bool,
    jobs: int,
    url: str,
) -> None:
    """Write recordings down as notation.

    FILE is a recording (wav, flac, mp3, ogg, opus, m4a, aac ...), or a folder, which stands for
    every audio file under it. The results are named after the recording: prelude.flac becomes
    prelude.mid, prelude.musicxml and so on; files of these names are replaced.

    The exit status is 0 if all went well, 1 if some recordings failed (a line for each tells why), 2
    for a wrong command line and 130 when interrupted; no half-written file is ever left.
    """
    suffixes = [FILE_SUFFIX[format_] for format_ in formats]
    found, failures = plan(files, directory, AUDIO_SUFFIXES)
    try:
        check_clashes(found, suffixes)
    except InputError as error:
        raise click.UsageError(str(error)) from error
    wanted = missing(found, suffixes) if skip_existing else found
    if len(wanted) < len(found):
        print(f"{len(found) - len(wanted)} of {len(found)} skipped: results are there already")
    options = TranscriptionOptions(instrument, formats, tempo, quantise)
    display = (BarDisplay if sys.stderr.isatty() else Display)(len(wanted) + len(failures))
    with display:
        for failure in failures:
            display.failed(failure)
        failed = len(failures)
        if wanted:
            failed += asyncio.run(_work(url, wanted, options, jobs, display))
    if failed:
        sys.exit(1)


async def _work(
    url: str, jobs: Sequence[Job], options: TranscriptionOptions, at_once: int, display: Display
) -> int:
    async def ask(client: AsyncCopyist, job: Job, tell: Callable[[Progress], None]) -> Transcription:
        return await client.transcribe(
            job.source,
            instrument=options.instrument,
            formats=options.formats,
            tempo=options.tempo,
            quantise=options.quantise,
            on_progress=tell,
        )

    async with AsyncCopyist(url, retry=RetryPolicy(busy_s=BUSY_S)) as client:
        await client.readiness()  # no service at all is told once, at once, not for every file
        return await write_down_all(client, jobs, ask, at_once=at_once, watcher=display)
