"""`copyist recognize`: pages in, notation files and coloured pages out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import click

from services.client.async_client import AsyncCopyist
from services.client.batch import Job, check_clashes, merged, plan, write_down_all
from services.client.commands.options import (
    BUSY_S,
    FormatList,
    directory_option,
    missing,
    pages_url_option,
)
from services.client.display import BarDisplay, Display
from services.client.exchange import RecognitionOptions
from services.client.pages import Recognition
from services.client.progress import Progress
from services.client.retry import RetryPolicy
from services.client.vocabulary import COLOUR_BY, PAGE_FILE_SUFFIX, PAGE_SUFFIXES
from services.errors import InputError

DEFAULT_FORMATS: Final = "musicxml,midi,pdf,overlay"


@click.command(
    epilog="""\b
Examples:
  copyist recognize sonata.pdf -o scores
  copyist recognize page1.jpg page2.jpg page3.jpg --merge -o scores
  copyist recognize scans/ -o scores --format musicxml --skip-existing
"""
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@directory_option
@click.option(
    "--format",
    "formats",
    type=FormatList(PAGE_FILE_SUFFIX),
    default=DEFAULT_FORMATS,
    show_default=True,
    help=f"What to write, separated by commas: {', '.join(PAGE_FILE_SUFFIX)}.",
)
@click.option("--merge", is_flag=True, help="The files are the pages of one piece, in this order.")
@click.option(
    "--colour-by",
    type=click.Choice(COLOUR_BY),
    default="pitch",
    show_default=True,
    help="What the overlay's colours tell.",
)
@click.option("--skip-existing", is_flag=True, help="Leave out files whose results are all there.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    metavar="N",
    default=2,
    show_default=True,
    help="How many files at the same time.",
)
@pages_url_option
def recognize(
    files: tuple[str, ...],
    directory: Path,
    formats: tuple[str, ...],
    merge: bool,
    colour_by: str,
    skip_existing: bool,
    jobs: int,
    url: str,
) -> None:
    """Read pages of printed music as notation.

    FILE is a picture (png, jpg, tiff, webp, bmp) or a PDF of one page or many, or a folder, which stands
    for every such file under it. Each file is a piece of its own, unless --merge joins them. The results
    are named after the file: sonata.pdf becomes sonata.musicxml, sonata-1.overlay.png and so on; files of
    these names are replaced.

    The exit status is 0 if all went well, 1 if some files failed (a line for each tells why), 2 for a
    wrong command line and 130 when interrupted; no half-written file is ever left.
    """
    suffixes = [PAGE_FILE_SUFFIX[format_] for format_ in formats]
    found, failures = plan(files, directory, PAGE_SUFFIXES)
    if merge:
        found = merged(found)
    try:
        check_clashes(found, suffixes)
    except InputError as error:
        raise click.UsageError(str(error)) from error
    wanted = missing(found, suffixes) if skip_existing else found
    if len(wanted) < len(found):
        print(f"{len(found) - len(wanted)} of {len(found)} skipped: results are there already")
    display = (BarDisplay if sys.stderr.isatty() else Display)(len(wanted) + len(failures))
    with display:
        for failure in failures:
            display.failed(failure)
        failed = len(failures)
        if wanted and not (merge and failures):
            failed += asyncio.run(_work(url, wanted, RecognitionOptions(formats, colour_by), jobs, display))
    if failed:
        sys.exit(1)


async def _work(
    url: str, jobs: Sequence[Job], options: RecognitionOptions, at_once: int, display: Display
) -> int:
    async def ask(client: AsyncCopyist, job: Job, tell: Callable[[Progress], None]) -> Recognition:
        return await client.recognize(
            job.sources, formats=options.formats, colour_by=options.colour_by, on_progress=tell
        )

    async with AsyncCopyist(url, retry=RetryPolicy(busy_s=BUSY_S)) as client:
        await client.readiness()  # no service at all is told once, at once, not for every file
        return await write_down_all(client, jobs, ask, at_once=at_once, watcher=display)
