"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import click

from services.client.batch import Job
from services.client.client import DEFAULT_PAGES_URL, DEFAULT_URL, pages_service_url, service_url
from services.errors import InputError

#: A batch has time: what keeps the service busy may be its own other files.
BUSY_S: Final = 3600.0


class FormatList(click.ParamType[tuple[str, ...]]):
    """A comma-separated list of formats, each kept once."""

    name = "formats"

    def __init__(self, known: Iterable[str]) -> None:
        self.known = tuple(known)

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Parse it, or say which formats there are."""
        names = [name.strip().lower() for name in str(value).split(",") if name.strip()]
        for name in names:
            if name not in self.known:
                self.fail(f"there is no format {name!r}; there are {', '.join(self.known)}.", param, ctx)
        if not names:
            self.fail(f"name at least one of {', '.join(self.known)}.", param, ctx)
        return tuple(dict.fromkeys(names))


def _checked(context: click.Context, parameter: click.Parameter, url: str | None) -> str:
    """The address to use, or a word on what is wrong with it."""
    try:
        return service_url(url)
    except InputError as error:
        raise click.BadParameter(str(error)) from error


url_option = click.option(
    "--url",
    envvar="COPYIST_URL",
    metavar="URL",
    callback=_checked,
    help=f"The service's address.  [default: $COPYIST_URL, else {DEFAULT_URL}]",
)


def _checked_pages(context: click.Context, parameter: click.Parameter, url: str | None) -> str:
    """The page service's address to use, or a word on what is wrong with it."""
    try:
        return pages_service_url(url)
    except InputError as error:
        raise click.BadParameter(str(error)) from error


pages_url_option = click.option(
    "--url",
    envvar="COPYIST_OMR_URL",
    metavar="URL",
    callback=_checked_pages,
    help=f"The page service's address.  [default: $COPYIST_OMR_URL, else {DEFAULT_PAGES_URL}]",
)

directory_option = click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder for the results, made if missing.  [default: the current one]",
)


def missing(jobs: Sequence[Job], suffixes: Sequence[str]) -> list[Job]:
    """The jobs of which some result is not there yet; of several pages' overlays the first counts for all."""
    return [job for job in jobs if not all(_is_there(job, suffix) for suffix in suffixes)]


def _is_there(job: Job, suffix: str) -> bool:
    return any(output.exists() for output in job.outputs((suffix, f"-1{suffix}")))
