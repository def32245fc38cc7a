"""`copyist recognize`: pages in, notation files and coloured pages out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from services.client.async_client import AsyncCopyist
from services.client.batch import Done, Step
from services.client.commands.flow import client, do_all, left_to_do, no_clashes, saved, sending
from services.client.commands.options import FormatList, directory_option, only_pages_url_option
from services.client.jobs import Service
from services.client.pieces import Piece, merged, plan
from services.client.vocabulary import COLOUR_BY, PAGE_FILE_SUFFIX

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
@only_pages_url_option
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
    pieces, failures = plan(files, directory, Service.PAGES)
    if merge:
        pieces = [] if failures else merged(pieces)
    no_clashes(pieces, suffixes)

    async def ask(copyist: AsyncCopyist, piece: Piece, tell: Callable[[Step], None]) -> Done:
        seen = await copyist.recognize(
            piece.sources,
            formats=formats,
            colour_by=colour_by,
            on_progress=lambda progress: tell(sending(progress)),
        )
        return await saved(seen, piece.stem)

    do_all(client(url), left_to_do(pieces, suffixes, skip_existing), failures, ask, at_once=jobs)
