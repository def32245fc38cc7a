"""`copyist jobs submit`: files in, jobs out, and their results where they are waited for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from services.client.async_client import AsyncCopyist
from services.client.batch import Done, Step
from services.client.commands import recognize, transcribe
from services.client.commands.flow import client, do_all, no_clashes, sending
from services.client.commands.options import FormatList, pages_url_option, service_option, url_option
from services.client.display import printable
from services.client.handles import AsyncJobHandle
from services.client.jobs import Job, Service
from services.client.pieces import Piece, merged, plan
from services.client.vocabulary import (
    COLOUR_BY,
    FASTEST_BPM,
    FILE_SUFFIX,
    PAGE_FILE_SUFFIX,
    QUANTISE,
    SLOWEST_BPM,
)
from services.errors import CopyistError

#: Jobs submitted, or waited for, at the same time.
AT_ONCE: Final = 16
_INTERRUPTED: Final = 130
_SUFFIX: Final[Mapping[Service, Mapping[str, str]]] = {
    Service.RECORDINGS: FILE_SUFFIX,
    Service.PAGES: PAGE_FILE_SUFFIX,
}
_DEFAULT_FORMATS: Final = {
    Service.RECORDINGS: tuple(transcribe.DEFAULT_FORMATS.split(",")),
    Service.PAGES: tuple(recognize.DEFAULT_FORMATS.split(",")),
}
#: Options that one service alone has.
_OPTIONS_OF: Final = {
    Service.RECORDINGS: ("instrument", "tempo", "quantise"),
    Service.PAGES: ("colour_by",),
}

kept_directory_option = click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the results, made if missing; without it they stay with the service for some days.",
)


@click.command(
    epilog="""\b
Examples:
  copyist jobs submit sonata.pdf symphony.flac
  copyist jobs submit album/ --wait -o scores
  copyist jobs submit page1.jpg page2.jpg --merge --format musicxml --wait -o scores
"""
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option("--wait", is_flag=True, help="Wait for the results, and show how far they are.")
@kept_directory_option
@service_option
@click.option(
    "--format",
    "formats",
    type=FormatList(dict.fromkeys((*FILE_SUFFIX, *PAGE_FILE_SUFFIX))),
    help="What to make, separated by commas.  [default: as transcribe and recognize do]",
)
@click.option("--merge", is_flag=True, help="The files are the pages of one piece, in this order.")
@click.option("--instrument", help="What plays (recordings).  [default: piano]")
@click.option(
    "--tempo",
    type=click.FloatRange(SLOWEST_BPM, FASTEST_BPM),
    metavar="BPM",
    help="Beats a minute, if known (recordings).",
)
@click.option("--quantise", type=click.Choice(QUANTISE), help="Finest note value (recordings).")
@click.option("--colour-by", type=click.Choice(COLOUR_BY), help="What the overlay's colours tell (pages).")
@click.option("--webhook", metavar="URL", help="A public address that the service tells of each job's end.")
@url_option
@pages_url_option
def submit(
    files: tuple[str, ...],
    wait: bool,
    directory: Path | None,
    service: Service | None,
    formats: tuple[str, ...] | None,
    merge: bool,
    webhook: str | None,
    url: str,
    pages_url: str,
    **options: Any,
) -> None:
    """Submit recordings and pages as jobs.

    FILE is a recording, a picture or PDF of pages, or a folder, which stands for every such file under it.
    The same content, name and options give the same job: to submit again does no harm. With --wait the
    results are waited for and written into the folder of -o; Ctrl-C then ends the waiting, not the jobs.

    The exit status is 0 if all went well, 1 if something failed (a line for each tells why), 2 for a wrong
    command line and 130 when interrupted.
    """
    if directory is not None and not wait:
        raise click.UsageError("-o is of use with --wait only; copyist jobs fetch writes files later.")
    pieces, failures = plan(files, directory or Path(), Service.PAGES if merge else service)
    if merge:
        pieces = [] if failures else merged(pieces)
    _check(pieces, formats, options, directory)
    waited_for: set[str] = set()

    async def ask(copyist: AsyncCopyist, piece: Piece, tell: Callable[[Step], None]) -> Done:
        handle = await copyist.submit(
            piece.sources,
            service=piece.service,
            formats=formats or _DEFAULT_FORMATS[piece.service],
            webhook=webhook,
            on_progress=lambda progress: tell(sending(progress)),
            **{name: options[name] for name in _OPTIONS_OF[piece.service]},
        )
        if not wait:
            return Done(f"job {handle.id} {handle.job.state}")
        waited_for.add(handle.id)
        try:
            kept_in = None if directory is None else piece.stem.parent
            done = await awaited(handle, tell, kept_in, piece.stem.name)
        except CopyistError:
            waited_for.remove(handle.id)
            raise
        waited_for.remove(handle.id)
        return done

    with going_on(waited_for, directory):
        do_all(client(url, pages_url), pieces, failures, ask, at_once=AT_ONCE)


def _check(
    pieces: Sequence[Piece],
    formats: Sequence[str] | None,
    options: Mapping[str, Any],
    directory: Path | None,
) -> None:
    """Refuse what no service, or not every service concerned, could do."""
    services = {piece.service for piece in pieces}
    for service, names in _OPTIONS_OF.items():
        for name in names:
            if pieces and options[name] is not None and service not in services:
                other = "recordings" if service is Service.RECORDINGS else "pages"
                raise click.UsageError(f"--{name.replace('_', '-')} is for {other}, and there are none.")
    for service in services:
        wanted = formats or _DEFAULT_FORMATS[service]
        known = _SUFFIX[service]
        for unknown in (format_ for format_ in wanted if format_ not in known):
            raise click.UsageError(f"{service} makes no {unknown}; it makes {', '.join(known)}.")
        if directory is not None:
            no_clashes(pieces, [known[format_] for format_ in wanted])


async def awaited(
    handle: AsyncJobHandle, tell: Callable[[Step], None], directory: Path | None, stem: str | None = None
) -> Done:
    """Wait for a job, telling how far it is, and write its files if there is a folder for them."""
    job = await handle.wait(lambda job: tell(_following(job)))
    if directory is None:
        return Done(f"job {job.id} {job.state}, {len(job.scores)} files")
    tell(Step("fetching"))
    return Done(f"job {job.id} {job.state}", await handle.download(directory, stem=stem))


def _following(job: Job) -> Step:
    return Step(printable(job.message) or job.state, job.progress, 100)


@contextmanager
def going_on(unfinished: Collection[str], directory: Path | None) -> Iterator[None]:
    """Say, when Ctrl-C ends the waiting, how to go on with it; exits with status 130."""
    try:
        yield
    except KeyboardInterrupt:
        ids = " ".join(sorted(unfinished))
        output = "" if directory is None else f" -o {directory}"
        how = (
            f"the jobs go on; to wait for them: copyist jobs wait {ids}{output}" if ids else "nothing is left"
        )
        print(f"copyist: interrupted; {how}", file=sys.stderr)
        sys.exit(_INTERRUPTED)
