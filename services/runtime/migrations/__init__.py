"""The database's schema, as steps from one version to the next."""

from __future__ import annotations

from services.errors import CopyistError
from services.runtime.database import Database


class SchemaError(CopyistError):
    """The database's schema is not the one that this version of Copyist knows."""

    slug = "schema-outdated"
    title = "The database must be migrated"


def migrate(database: Database) -> None:
    """Bring the schema up to date, DBOS's own tables too; safe to run in several processes at once."""
    raise NotImplementedError


def prepare(database: Database) -> None:
    """Make sure of the schema at a process's start: SQLite is migrated, PostgreSQL only looked at.

    Raises:
        SchemaError: PostgreSQL's schema is not up to date; `copyist migrate` makes it so.
    """
    raise NotImplementedError
