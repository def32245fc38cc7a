"""A database with its tables, for keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.database import Database, connect
from services.runtime.door.keys import KeyStore
from services.runtime.migrations import prepare


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = connect(f"sqlite:///{tmp_path}/copyist.sqlite")
    prepare(database)
    yield database
    database.close()


@pytest.fixture
def store(database: Database) -> KeyStore:
    return KeyStore(database)
