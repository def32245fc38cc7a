"""`copyist status`: is there a service, and what can it do?"""

from __future__ import annotations

import sys

import click

from services.client.client import Copyist
from services.client.commands.options import url_option


@click.command()
@url_option
def status(url: str) -> None:
    """Tell whether the service is ready, and its models.

    The exit status is 0 if it is ready to transcribe, 1 if not.
    """
    with Copyist(url) as copyist:
        readiness = copyist.readiness()
        print(f"{url}: {'ready' if readiness.ready else f'not ready. {readiness.detail}'}")
        if not readiness.ready:
            sys.exit(1)
        for model in copyist.models():
            print(f"  {model.name}  version {model.version}")
