"""`copyist migrate`: brings the database up to date."""

from __future__ import annotations

import click

from services.operate.environment import settings
from services.runtime.database import connect
from services.runtime.migrations import migrate as bring_up_to_date


@click.command()
def migrate() -> None:
    """Bring the database of jobs and keys up to date; needed once for each release on PostgreSQL.

    The database is the one of COPYIST_DATABASE_URL. Running it again, or twice at once, does no harm.
    """
    database = connect(settings().database_url)
    try:
        bring_up_to_date(database)
    finally:
        database.close()
    click.echo("the database is up to date")
