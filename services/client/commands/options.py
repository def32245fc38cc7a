"""Options that several commands have."""

from __future__ import annotations

import click

from services.client.client import DEFAULT_URL, service_url
from services.errors import InputError


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
