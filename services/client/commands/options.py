"""Options that several commands have."""

from __future__ import annotations

import click

from services.client.client import DEFAULT_URL

url_option = click.option(
    "--url",
    envvar="COPYIST_URL",
    metavar="URL",
    help=f"The service's address.  [default: $COPYIST_URL, else {DEFAULT_URL}]",
)
