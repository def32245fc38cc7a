"""What is told of keys and of the issuer before callers are shut out."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from prometheus_client import REGISTRY

from services.runtime.database import Database
from services.runtime.door import expiry
from services.runtime.door.gate import Gate
from services.runtime.door.issuer import Issuer
from services.runtime.door.keys import API_KEYS, KeyStore
from services.runtime.door.principal import Scope
from services.runtime.settings import Settings
from tests.databases import free_port
from tests.waiting import wait_for

DAY = timedelta(days=1)
NAME = "copyist_api_keys_soonest_expiry_timestamp_seconds"


def key(
    database: Database, expires_in: timedelta, used_ago: timedelta | None, *scopes: Scope
) -> tuple[str, datetime]:
    """Make a key; gives its name and when it expires."""
    now = datetime.now(UTC)
    _, record = KeyStore(database).create("team", scopes, "", now + timedelta(days=400))
    expires_at = now + expires_in
    values = {"expires_at": expires_at, "last_used_at": None if used_ago is None else now - used_ago}
    with database.begin() as connection:
        connection.execute(sa.update(API_KEYS).where(API_KEYS.c.id == record.id).values(**values))
    return record.id, expires_at


def test_the_first_key_in_use_is_told_by_scope(database: Database) -> None:
    assert expiry.soonest_expiry(database) == {}
    _, both = key(database, 9 * DAY, DAY, Scope.AMT, Scope.OMR)
    _, sooner = key(database, 3 * DAY, DAY, Scope.AMT)
    key(database, 2 * DAY, 31 * DAY, Scope.OMR)
    key(database, 1 * DAY, None, Scope.OMR)
    assert expiry.soonest_expiry(database) == {Scope.AMT: sooner, Scope.OMR: both}


def test_a_key_that_has_expired_is_told_for_a_day_and_a_revoked_one_not(database: Database) -> None:
    _, lately = key(database, -DAY / 2, DAY, Scope.AMT)
    key(database, -2 * DAY, 3 * DAY, Scope.AMT)
    revoked, _ = key(database, DAY, DAY, Scope.AMT)
    KeyStore(database).revoke(revoked)
    assert expiry.soonest_expiry(database) == {Scope.AMT: lately}


async def test_the_gate_tells_prometheus_without_names(database: Database) -> None:
    name, expires_at = key(database, 5 * DAY, DAY, Scope.OMR)
    gate = Gate(Settings(auth=True, database_url=database.url), Scope.AMT)
    await gate.open()
    try:
        await asyncio.to_thread(
            wait_for,
            lambda: REGISTRY.get_sample_value(NAME, {"scope": "omr"}) == expires_at.timestamp(),
        )
    finally:
        await gate.close()
    assert REGISTRY.get_sample_value(NAME, {"scope": "amt"}) == 0
    told = [sample for family in REGISTRY.collect() for sample in family.samples if sample.name == NAME]
    assert all(set(sample.labels) == {"scope"} for sample in told)
    assert name not in str(told)


async def test_fetches_of_the_issuers_keys_are_counted() -> None:
    def failed() -> float:
        return REGISTRY.get_sample_value("copyist_issuer_fetches_total", {"outcome": "failed"}) or 0.0

    before = failed()
    issuer = Issuer(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Exception, match="cannot be fetched"):
        await issuer.key("some")
    await issuer.close()
    assert failed() == before + 1
