"""The database that holds jobs, workers and keys: a SQLite file on one machine, PostgreSQL for several."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy as sa

from services.errors import CopyistError, DatabaseUnavailableError

log = logging.getLogger("copyist.database")

#: Seconds that a statement waits for another process's transaction on SQLite.
_SQLITE_BUSY_S: Final = 30
#: Seconds that making a connection to PostgreSQL, or waiting for a free one, may take.
_CONNECT_LIMIT_S: Final = 5
#: Notice within seconds that a server is gone, instead of TCP's quarter of an hour.
_POSTGRES_OPTIONS: Final = {
    "connect_timeout": _CONNECT_LIMIT_S,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    # After a failover an address may for a while lead to the former primary, which only reads now.
    "target_session_attrs": "read-write",
    "application_name": "copyist",
}
_POSTGRES_NAMES: Final = ("postgresql", "postgres", "postgresql+psycopg")


class DatabaseUrlError(CopyistError):
    """The setting of the database's address cannot be meant."""

    slug = "database-url"
    title = "The address of the database is not understood"


class UtcTime(sa.TypeDecorator[datetime]):
    """A time in UTC. SQLite keeps no zones, and PostgreSQL answers in the server's: both are mended here."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Give the time with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Database:
    """A pool of connections to one database, for any number of threads.

    Attributes:
        url: as the operator has it.
        engine: SQLAlchemy's.
    """

    def __init__(self, url: str, engine: sa.Engine) -> None:
        self.url = url
        self.engine = engine

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of this machine."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Give a connection with a transaction, committed at the end unless an exception passes.

        Raises:
            DatabaseUnavailableError: the database does not answer, or the connection was lost.
        """
        with translated(), self.engine.begin() as connection:
            if self.is_sqlite:
                # Python's driver would begin only at the first change: what was read before could be old.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a connection that only reads; it waits for no writer.

        Raises:
            DatabaseUnavailableError: the database does not answer, or the connection was lost.
        """
        with translated(), self.engine.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextmanager
def translated() -> Iterator[None]:
    """Make Copyist's error of a lost or refused connection."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.TimeoutError) as error:
        raise _unavailable(error) from error
    except sa.exc.DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> DatabaseUnavailableError:
    # What the driver says may name hosts and users: for the log, not for callers.
    log.warning("the database is not available: %s", str(error).splitlines()[0])
    return DatabaseUnavailableError(
        "The database of jobs does not answer.", remedy="Try again in a few seconds."
    )


def connect(url: str) -> Database:
    """Make the pool; a connection is only made when it is needed.

    Args:
        url: `sqlite:///FILE` (its folder is made) or `postgresql://...`.

    Raises:
        DatabaseUrlError: neither of these.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise _not_understood() from None
    if parsed.drivername == "sqlite" and parsed.database:
        return Database(url, _sqlite(parsed, Path(parsed.database)))
    if parsed.drivername in _POSTGRES_NAMES:
        return Database(url, _postgres(parsed.set(drivername="postgresql+psycopg")))
    raise _not_understood()


def _not_understood() -> DatabaseUrlError:
    return DatabaseUrlError(
        "COPYIST_DATABASE_URL is neither sqlite:///FILE nor postgresql://USER@HOST/NAME.",
        remedy="Set it to one of these.",
    )


def _sqlite(url: sa.URL, file: Path) -> sa.Engine:
    file.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        url,
        connect_args={"timeout": _SQLITE_BUSY_S},
        pool_size=10,
        max_overflow=20,
        pool_timeout=_SQLITE_BUSY_S,
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # DBOS, which works through the same connections, counts on immediate transactions and foreign keys.
        connection.isolation_level = "IMMEDIATE"
        connection.execute("PRAGMA journal_mode=WAL")
        # What was accepted must outlive a loss of power, too.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def _postgres(url: sa.URL) -> sa.Engine:
    options = {name: value for name, value in _POSTGRES_OPTIONS.items() if name not in url.query}
    engine = sa.create_engine(
        url,
        connect_args=options,
        pool_size=5,
        max_overflow=15,
        pool_timeout=_CONNECT_LIMIT_S,
        pool_pre_ping=True,
        pool_recycle=1800,
    )

    @sa.event.listens_for(engine, "handle_error")
    def leave_former_primary(context: sa.engine.ExceptionContext) -> None:
        # It answers every ping: its connections would stay, and all that is written fail.
        if isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction):
            context.is_disconnect = True

    return engine
