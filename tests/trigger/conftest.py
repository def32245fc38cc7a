"""The trigger, and each kind of database under it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.database import Database, connect
from services.runtime.migrations import migrate
from tests.databases import PostgresServer
from tests.trigger.drifted import Trigger


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/copyist.sqlite"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated database of each kind in turn."""
    database = connect(database_url)
    migrate(database)
    yield database
    database.close()


@pytest.fixture
def trigger(tmp_path: Path) -> Iterator[Trigger]:
    """A trigger that runs, on SQLite."""
    trigger = Trigger(tmp_path / "runs", f"sqlite:///{tmp_path}/copyist.sqlite")
    trigger.start()
    yield trigger
    trigger.end_runs()
    trigger.stop()
