"""The database's schema, as steps from one version to the next."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from dbos import DBOS

from services.errors import CopyistError
from services.runtime.database import Database, translated

#: Of our own choosing: whoever migrates PostgreSQL holds this advisory lock.
_LOCK: Final = 0x434F5059


class SchemaError(CopyistError):
    """The database's schema is not the one that this version of Copyist knows."""

    slug = "schema-outdated"
    title = "The database must be migrated"


def migrate(database: Database) -> None:
    """Bring the schema up to date, DBOS's own tables too; safe to run in several processes at once."""
    with database.begin() as connection:
        if not database.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    with translated():
        DBOS.migrate(database.engine.url.render_as_string(hide_password=False))


def prepare(database: Database) -> None:
    """Make sure of the schema at a process's start: SQLite is migrated, PostgreSQL only looked at.

    Raises:
        SchemaError: PostgreSQL's schema is not up to date; `copyist migrate` makes it so.
    """
    if database.is_sqlite:
        migrate(database)
        return
    with database.read() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    # A newer schema is no fault: migrations leave room for the release before, which still runs beside it.
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is None or (found in known and found != _newest()):
        raise SchemaError(
            f"The database has schema {found or 'none'}; this version of Copyist needs {_newest()}.",
            remedy="Run `copyist migrate`.",
        )


def _newest() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config
