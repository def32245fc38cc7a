"""A database with its tables, for keys."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.database import Database, connect
from services.runtime.door import keyring
from services.runtime.door.keys import KeyStore
from services.runtime.migrations import migrate, prepare
from tests.databases import PostgresServer


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # The databases are real, and may be slow on a machine that is.
    monkeypatch.setattr(keyring, "PATIENCE_S", 60.0)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file without a row, to be copied: to make its tables takes a while."""
    file = tmp_path_factory.mktemp("prepared") / "copyist.sqlite"
    database = connect(f"sqlite:///{file}")
    prepare(database)
    database.close()
    return file


@pytest.fixture
def database(prepared: Path, tmp_path: Path) -> Iterator[Database]:
    file = tmp_path / "copyist.sqlite"
    shutil.copy(prepared, file)
    database = connect(f"sqlite:///{file}")
    yield database
    database.close()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """An address of a real PostgreSQL with the tables; its keys are the test's to remove."""
    url = postgres_server.new_database()
    database = connect(url)
    migrate(database)
    database.close()
    return url


@pytest.fixture
def store(database: Database) -> KeyStore:
    return KeyStore(database)
