"""`copyist migrate`, as it is typed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from services.runtime.database import connect
from services.runtime.migrations import SchemaError, prepare
from services.triton.environment import REPOSITORY_ROOT
from tests.databases import PostgresServer, free_port


def run(database_url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.client.cli", "migrate"],
        env={**os.environ, "COPYIST_DATABASE_URL": database_url},
        cwd=REPOSITORY_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_empty_database_is_made_ready_and_may_be_again(postgres_server: PostgresServer) -> None:
    url = postgres_server.new_database()
    database = connect(url)
    with pytest.raises(SchemaError):
        prepare(database)

    for _ in range(2):
        done = run(url)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "the database is up to date\n"

    prepare(database)
    database.close()


@pytest.mark.parametrize(
    "url", ["mysql://root@localhost/x", f"postgresql://copyist@127.0.0.1:{free_port()}/x"]
)
def test_a_database_that_cannot_be_reached_is_told_in_a_line(url: str) -> None:
    failed = run(url)

    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("copyist: ")
    assert "Traceback" not in failed.stderr
