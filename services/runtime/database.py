"""The database that holds jobs, workers and keys: a SQLite file on one machine, PostgreSQL for several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa


class Database:
    """A pool of connections to one database, for any number of threads.

    Attributes:
        url: as the operator has it.
        engine: SQLAlchemy's.
    """

    def __init__(self, url: str, engine: sa.Engine) -> None:
        self.url = url
        self.engine = engine

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Give a connection with a transaction, committed at the end unless an exception passes.

        Raises:
            DatabaseUnavailableError: the database does not answer, or the connection was lost.
        """
        with self.engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def connect(url: str) -> Database:
    """Make the pool; a connection is only made when it is needed.

    Args:
        url: `sqlite:///FILE` (its folder is made) or `postgresql://...`.

    Raises:
        DatabaseUrlError: neither of these.
    """
    raise NotImplementedError
