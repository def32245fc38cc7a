"""`copyist models`: versions of the models side by side."""

from __future__ import annotations

import click


@click.group(invoke_without_command=True)
def models() -> None:
    """List the versions of the models, what they measure, and which of them serve."""
