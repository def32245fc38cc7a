"""Fleets of toy workers on each kind of database and storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.databases import PostgresServer, S3Server
from tests.runtime.jobs.fleet import Fleet

MakeFleet = Callable[..., Fleet]


@pytest.fixture
def small_fleet(tmp_path: Path) -> Iterator[MakeFleet]:
    """Makes a fleet on SQLite and a folder."""
    made: list[Fleet] = []

    def make(**settings: int | str) -> Fleet:
        url = f"sqlite:///{tmp_path}/data/copyist.sqlite"
        made.append(Fleet(tmp_path, url, str(tmp_path / "files"), {}, **settings))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()


@pytest.fixture
def large_fleet(
    tmp_path: Path, postgres_server: PostgresServer, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeFleet]:
    """Makes a fleet on PostgreSQL and S3."""
    made: list[Fleet] = []
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)

    def make(**settings: int | str) -> Fleet:
        url, bucket = postgres_server.new_database(), s3_server.new_bucket()
        made.append(Fleet(tmp_path, url, bucket, s3_server.variables, **settings))
        return made[-1]

    yield make
    for fleet in made:
        fleet.close()


@pytest.fixture(params=["sqlite and a folder", "postgresql and s3"])
def any_fleet(request: pytest.FixtureRequest) -> MakeFleet:
    """Makes a fleet, on each kind of database and storage in turn."""
    name = "small_fleet" if request.param.startswith("sqlite") else "large_fleet"
    make: MakeFleet = request.getfixturevalue(name)
    return make
