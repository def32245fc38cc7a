"""The settings of this machine, for commands."""

from __future__ import annotations

import click

from services.runtime.settings import Settings


def settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        ClickException: one of them cannot be used; it is named.
    """
    try:
        return Settings.from_environment()
    except ValueError as error:
        raise click.ClickException(str(error)) from None
