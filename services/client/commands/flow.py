"""What commands that write files down have in common: which pieces, what is left to do, and doing it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from services.client.async_client import AsyncCopyist
from services.client.batch import Ask, Done, Step, write_down_all
from services.client.commands.options import BUSY_S
from services.client.display import BarDisplay, Display
from services.client.pieces import Failure, Piece, check_clashes, missing
from services.client.progress import Progress
from services.client.results import Answer
from services.client.retry import RetryPolicy
from services.errors import InputError


def no_clashes(pieces: Sequence[Piece], suffixes: Sequence[str]) -> None:
    """Refuse a command line by which a file would be written twice, or over one that is read."""
    try:
        check_clashes(pieces, suffixes)
    except InputError as error:
        raise click.UsageError(str(error)) from error


def left_to_do(pieces: Sequence[Piece], suffixes: Sequence[str], skip_existing: bool) -> Sequence[Piece]:
    """Choose the pieces whose results are not there yet, where that is asked for, and say how many are."""
    wanted = missing(pieces, suffixes) if skip_existing else pieces
    if len(wanted) < len(pieces):
        print(f"{len(pieces) - len(wanted)} of {len(pieces)} skipped: results are there already")
    return wanted


def client(url: str, pages_url: str | None = None) -> AsyncCopyist:
    """Make a client with a batch's patience."""
    return AsyncCopyist(url, pages_url=pages_url, retry=RetryPolicy(busy_s=BUSY_S))


def do_all(
    copyist: AsyncCopyist, pieces: Sequence[Piece], failures: Sequence[Failure], ask: Ask, *, at_once: int
) -> None:
    """Have pieces done, and exit with status 1 if some failed; the client is closed at the end.

    Args:
        copyist: who asks the services.
        pieces: what to do.
        failures: what cannot be done at all.
        ask: has one piece done.
        at_once: how many are under way at the same time.
    """
    display = (BarDisplay if sys.stderr.isatty() else Display)(len(pieces) + len(failures))
    with display:
        for failure in failures:
            display.failed(failure)
        failed = len(failures) + asyncio.run(_work(copyist, pieces, ask, at_once, display))
    if failed:
        sys.exit(1)


async def _work(
    copyist: AsyncCopyist, pieces: Sequence[Piece], ask: Ask, at_once: int, display: Display
) -> int:
    async with copyist:
        for service in {piece.service for piece in pieces}:
            await copyist.readiness(service)  # no service at all is told once, at once, not for every file
        return await write_down_all(copyist, pieces, ask, at_once=at_once, watcher=display)


def sending(progress: Progress) -> Step:
    """How far a piece is whose files are on their way."""
    if progress.sent == progress.size:
        return Step("working")
    return Step("sending", progress.sent, progress.size)


async def saved(answer: Answer, stem: Path) -> Done:
    """Write an answer's files."""
    return Done(str(answer), await asyncio.to_thread(answer.save, stem.parent, stem=stem.name))
