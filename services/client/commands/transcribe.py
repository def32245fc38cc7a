"""`copyist transcribe`: recordings in, notation files out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from services.client.async_client import AsyncCopyist
from services.client.batch import Done, Step
from services.client.commands.flow import client, do_all, left_to_do, no_clashes, saved, sending
from services.client.commands.options import FormatList, directory_option, url_option
from services.client.jobs import Service
from services.client.pieces import Piece, plan
from services.client.vocabulary import FASTEST_BPM, FILE_SUFFIX, QUANTISE, SLOWEST_BPM

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
    pieces, failures = plan(files, directory, Service.RECORDINGS)
    no_clashes(pieces, suffixes)

    async def ask(copyist: AsyncCopyist, piece: Piece, tell: Callable[[Step], None]) -> Done:
        heard = await copyist.transcribe(
            piece.source,
            instrument=instrument,
            formats=formats,
            tempo=tempo,
            quantise=quantise,
            on_progress=lambda progress: tell(sending(progress)),
        )
        return await saved(heard, piece.stem)

    do_all(client(url), left_to_do(pieces, suffixes, skip_existing), failures, ask, at_once=jobs)
