"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from services.client.addresses import DEFAULT_PAGES_URL, DEFAULT_URL, pages_service_url, service_url
from services.client.jobs import Service
from services.errors import InputError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

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


def _url_option(
    name: str, service: str, variable: str, default: str, check: Callable[[str | None], str]
) -> Callable[[Decorated], Decorated]:
    """The address of a service to use, or a word on what is wrong with it."""

    def checked(context: click.Context, parameter: click.Parameter, url: str | None) -> str:
        try:
            return check(url)
        except InputError as error:
            raise click.BadParameter(str(error)) from error

    return click.option(
        name,
        envvar=variable,
        metavar="URL",
        callback=checked,
        help=f"{service}'s address.  [default: ${variable}, else {default}]",
    )


url_option = _url_option("--url", "The service", "COPYIST_URL", DEFAULT_URL, service_url)
_PAGES: Final = ("The page service", "COPYIST_OMR_URL", DEFAULT_PAGES_URL, pages_service_url)
#: For a command that speaks with the page service alone, and for one that speaks with both.
only_pages_url_option = _url_option("--url", *_PAGES)
pages_url_option = _url_option("--pages-url", *_PAGES)

service_option = click.option(
    "--service",
    type=click.Choice([service.value for service in Service]),
    callback=lambda context, parameter, name: Service(name) if name else None,
    help="amt (recordings) or omr (pages).  [default: by the file's name; of lists, both]",
)

directory_option = click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder for the results, made if missing.  [default: the current one]",
)
