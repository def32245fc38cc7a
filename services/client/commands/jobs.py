"""`copyist jobs`: what goes on when the command has ended."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

import click

from services.client.async_client import AsyncCopyist
from services.client.batch import Done, Step
from services.client.client import Copyist
from services.client.commands.flow import client, do_all, no_clashes
from services.client.commands.options import directory_option, pages_url_option, service_option, url_option
from services.client.commands.submit import AT_ONCE, awaited, going_on, kept_directory_option, submit
from services.client.display import printable
from services.client.jobs import Job, JobState, Service
from services.client.pieces import Failure, Piece
from services.errors import InputError

ids_argument = click.argument("ids", nargs=-1, required=True, metavar="ID...")


@click.group(
    epilog="""\b
Examples:
  copyist jobs submit sonata.pdf symphony.flac
  copyist jobs submit album/ --wait -o scores
  copyist jobs list --state queued,transcribing
  copyist jobs wait 4f0c9b1e7a5d4c0f9f6f0d6a4b1c2d3e -o scores
"""
)
def jobs() -> None:
    """Submit jobs, follow them and fetch their files.

    A job is done by the services' workers, whether or not anybody waits; its files are kept for some days.
    Where the services ask for an API key, put it into COPYIST_API_KEY.
    """


jobs.add_command(submit)


@jobs.command("list")
@service_option
@click.option("--state", "states", metavar="STATE,...", default="", help="Only jobs in these states.")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="Most jobs to list."
)
@url_option
@pages_url_option
def list_(service: Service | None, states: str, limit: int, url: str, pages_url: str) -> None:
    """List your jobs, newest first."""
    wanted = [name.strip().lower() for name in states.split(",") if name.strip()]
    for name in wanted:
        if name not in tuple(JobState):
            raise click.UsageError(f"There is no state {name!r}; there are {', '.join(JobState)}.")
    services = [service] if service else list(Service)
    with Copyist(url, pages_url=pages_url) as copyist:
        listed = [list(islice(copyist.jobs(each, wanted), limit)) for each in services]
    newest = sorted(chain(*listed), key=lambda job: job.created_at, reverse=True)
    for job in newest[:limit]:
        when = job.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
        print(f"{job.id}  {job.state:<12} {job.progress:>3}%  {when}  {printable(job.title)}")
    if not newest:
        print("There are no such jobs." if wanted else "You have no jobs.")


@jobs.command()
@ids_argument
@url_option
@pages_url_option
def show(ids: tuple[str, ...], url: str, pages_url: str) -> None:
    """Tell how jobs are.

    The exit status is 1 if one of them does not exist.
    """
    with Copyist(url, pages_url=pages_url) as copyist:
        _each(ids, lambda job_id: _show(copyist.job(job_id).job))


def _show(job: Job) -> None:
    facts = {
        "Job": job.id,
        "Title": printable(job.title),
        "State": f"{job.state}, {job.progress}%" + (f", {job.message}" if job.message else ""),
        "Options": ", ".join(f"{name} {text}" for name, text in job.options.items()),
        "Created": _time(job.created_at),
        "Started": _time(job.started_at),
        "Finished": _time(job.finished_at),
        "Expires": _time(job.expires_at),
        "Problem": f"{job.problem.get('detail')} {job.problem.get('remedy')}" if job.problem else "",
    }
    for name, text in facts.items():
        if text:
            print(f"{name:<9} {text}")
    for index, file in enumerate(job.files):
        print(f"{'' if index else 'Files':<9} {printable(file.name)} ({file.size} bytes)")


def _time(time: datetime | None) -> str:
    return "" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


@jobs.command()
@ids_argument
@url_option
@pages_url_option
def cancel(ids: tuple[str, ...], url: str, pages_url: str) -> None:
    """Cancel jobs; those that are finished stay as they are."""
    with Copyist(url, pages_url=pages_url) as copyist:
        _each(ids, lambda job_id: _cancel(copyist, job_id))


def _cancel(copyist: Copyist, job_id: str) -> None:
    job = copyist.job(job_id).cancel()
    print(f"{job.id}: {'will be cancelled in a moment' if job.cancelling else job.state}")


def _each(ids: Iterable[str], act: Callable[[str], None]) -> None:
    """Do something with each job; exits with status 1 if it failed with one."""
    failed = False
    for job_id in ids:
        try:
            act(job_id)
        except InputError as error:
            failed = True
            print(f"copyist: {printable(job_id)}: {error}", file=sys.stderr)
    if failed:
        sys.exit(1)


@jobs.command()
@ids_argument
@kept_directory_option
@url_option
@pages_url_option
def wait(ids: tuple[str, ...], directory: Path | None, url: str, pages_url: str) -> None:
    """Wait until jobs are finished, and show how far they are.

    Ctrl-C ends the waiting, not the jobs. The exit status is 1 if a job failed or was cancelled, or does not
    exist.
    """

    async def ask(copyist: AsyncCopyist, piece: Piece, tell: Callable[[Step], None]) -> Done:
        handle = await copyist.job(piece.source.name, piece.service)
        return await awaited(handle, tell, directory)

    pieces, failures = _found(ids, url, pages_url, directory)
    with going_on(ids, directory):
        do_all(client(url, pages_url), pieces, failures, ask, at_once=AT_ONCE)


@jobs.command()
@ids_argument
@directory_option
@url_option
@pages_url_option
def fetch(ids: tuple[str, ...], directory: Path, url: str, pages_url: str) -> None:
    """Write the files of completed jobs.

    Files appear only when they are whole. A download that broke off goes on where it stopped.
    """

    async def ask(copyist: AsyncCopyist, piece: Piece, tell: Callable[[Step], None]) -> Done:
        handle = await copyist.job(piece.source.name, piece.service)
        if handle.job.state is not JobState.COMPLETED:
            raise InputError(
                f"The job is {handle.job.state}: it has no files.",
                remedy=f"See copyist jobs show {handle.id}."
                if handle.job.state.finished
                else f"Wait for it: copyist jobs wait {handle.id}.",
            )
        return Done(printable(handle.job.title), await handle.download(directory))

    pieces, failures = _found(ids, url, pages_url, directory)
    do_all(client(url, pages_url), pieces, failures, ask, at_once=AT_ONCE)


def _found(
    ids: Iterable[str], url: str, pages_url: str, directory: Path | None
) -> tuple[list[Piece], list[Failure]]:
    """Find jobs, and where the results of each go."""
    pieces, failures = [], []
    with Copyist(url, pages_url=pages_url) as copyist:
        for job_id in dict.fromkeys(ids):
            try:
                job = copyist.job(job_id).job
            except InputError as error:
                failures.append(Failure(Path(job_id), str(error)))
            else:
                pieces.append(Piece((Path(job.id),), (directory or Path()) / job.title, job.service))
    if directory is not None:
        no_clashes(pieces, [""])
    return pieces, failures
