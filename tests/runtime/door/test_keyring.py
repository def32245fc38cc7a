"""The keys that a process has met: how seldom the database is asked, and what happens while it is away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from unittest.mock import Mock

import pytest

from services.errors import DatabaseUnavailableError, OverloadedError
from services.runtime.database import Database, connect
from services.runtime.door import keyring
from services.runtime.door.keyring import FRESH_S, KEPT_S, PAUSE_S, RECHECK_S, KeyRing
from services.runtime.door.keys import KeyRecord, KeyStore, new_key
from services.runtime.door.principal import Scope
from services.runtime.migrations import migrate
from tests.databases import postgres


class WatchedStore(KeyStore):
    """The keys in the database, with a count of the questions; it can be away, or hang."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.asked: list[list[str]] = []
        self.away = False
        self.go_on = threading.Event()
        self.go_on.set()
        self.at_once = 0
        self.most_at_once = 0

    def many(self, ids: Iterable[str]) -> dict[str, KeyRecord]:
        self.asked.append(list(ids))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.go_on.wait(300)
            if self.away:
                raise DatabaseUnavailableError("away")
            return super().many(self.asked[-1])
        finally:
            self.at_once -= 1


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watched(database: Database) -> WatchedStore:
    return WatchedStore(database)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ring(watched: WatchedStore, clock: Clock) -> AsyncIterator[KeyRing]:
    ring = KeyRing(watched, clock)
    yield ring
    watched.go_on.set()
    await ring.close()


async def test_a_key_is_asked_for_once_while_it_is_fresh(
    ring: KeyRing, watched: WatchedStore, clock: Clock
) -> None:
    key, record = watched.create("team-a", [Scope.AMT])
    for _ in range(100):
        caller = await ring.principal(key)
        assert caller == record.principal()
    assert len(watched.asked) == 1
    clock.now += FRESH_S
    assert await ring.principal(key)
    assert len(watched.asked) == 2


async def test_a_revocation_is_heard_of_within_seconds(
    ring: KeyRing, watched: WatchedStore, clock: Clock
) -> None:
    key, record = watched.create("team-a", list(Scope))
    assert await ring.principal(key)
    watched.revoke(record.id)
    clock.now += FRESH_S
    assert await ring.principal(key) is None


async def test_a_key_ends_on_time_however_fresh_it_is(
    ring: KeyRing, watched: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_at = datetime.now(UTC) + timedelta(hours=1)
    key, _ = watched.create("team-a", list(Scope), expires_at=ends_at)
    calendar = Mock(wraps=datetime)
    monkeypatch.setattr(keyring, "datetime", calendar)
    calendar.now.side_effect = lambda zone: ends_at - timedelta(milliseconds=1)
    assert await ring.principal(key)
    calendar.now.side_effect = lambda zone: ends_at
    assert await ring.principal(key) is None
    assert len(watched.asked) == 1


async def test_a_rotated_secret_counts_at_once(ring: KeyRing, watched: WatchedStore, clock: Clock) -> None:
    old, record = watched.create("team-a", list(Scope))
    assert await ring.principal(old)
    new, _ = watched.rotate(record.id, timedelta(hours=1))
    watched.asked.clear()
    clock.now += RECHECK_S
    assert await ring.principal(new)
    assert await ring.principal(old)
    assert len(watched.asked) == 1


async def test_wrong_secrets_of_a_known_key_ask_seldom(
    ring: KeyRing, watched: WatchedStore, clock: Clock
) -> None:
    key, record = watched.create("team-a", list(Scope))
    assert await ring.principal(key)
    for _ in range(50):
        assert await ring.principal(new_key(record.id)) is None
        clock.now += RECHECK_S / 10
    assert len(watched.asked) <= 6
    assert await ring.principal(key)


async def test_a_bad_key_asks_once(ring: KeyRing, watched: WatchedStore) -> None:
    key = new_key("nokeyhas")
    for _ in range(100):
        assert await ring.principal(key) is None
    assert await ring.principal("cpk_nonsense") is None
    assert len(watched.asked) == 1


async def test_a_flood_of_bad_keys_is_asked_for_together(
    ring: KeyRing, watched: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "MOST_KEYS", 100)
    key, _ = watched.create("team-a", list(Scope))
    assert await ring.principal(key)
    callers = [ring.principal(new_key(f"bad{number:05d}")) for number in range(900)]
    assert not any(await asyncio.gather(*callers))
    assert watched.most_at_once == 1
    assert len(watched.asked) <= 10
    assert len(ring._unknown) == 100
    asked = len(watched.asked)
    assert await ring.principal(key)  # the flood drove out no good key
    assert len(watched.asked) == asked


async def test_known_keys_outlive_the_database_for_a_while(
    ring: KeyRing, watched: WatchedStore, clock: Clock
) -> None:
    known, _ = watched.create("team-a", list(Scope))
    unknown, _ = watched.create("team-b", list(Scope))
    assert await ring.principal(known)
    watched.away = True
    clock.now += KEPT_S - 1
    assert await ring.principal(known)
    with pytest.raises(DatabaseUnavailableError):
        await ring.principal(unknown)
    clock.now += 1
    with pytest.raises(DatabaseUnavailableError):
        await ring.principal(known)
    watched.away = False
    clock.now += PAUSE_S
    assert await ring.principal(unknown)
    assert await ring.principal(known)


async def test_a_database_that_is_away_is_left_in_peace(
    ring: KeyRing, watched: WatchedStore, clock: Clock
) -> None:
    watched.away = True
    for number in range(100):
        with pytest.raises(DatabaseUnavailableError):
            await ring.principal(new_key(f"bad{number:05d}"))
    assert len(watched.asked) == 1


async def test_a_database_that_hangs_holds_known_keys_up_once(
    ring: KeyRing, watched: WatchedStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = watched.create("team-a", list(Scope))
    assert await ring.principal(key)
    monkeypatch.setattr(keyring, "PATIENCE_S", 0.05)
    watched.go_on.clear()
    clock.now += FRESH_S
    assert await ring.principal(key)
    monkeypatch.setattr(keyring, "PATIENCE_S", 60.0)
    clock.now += 61
    async with asyncio.timeout(30):  # no waiting any more
        assert await ring.principal(key)
    assert len(watched.asked) == 2
    watched.go_on.set()
    clock.now += PAUSE_S
    assert await ring.principal(key)


async def test_too_many_at_once_are_told_to_come_again(
    ring: KeyRing, watched: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "_MOST_WAITING", 3)
    watched.go_on.clear()
    waiting = [asyncio.create_task(ring.principal(new_key(f"bad{number:05d}"))) for number in range(3)]
    async with asyncio.timeout(60):
        while len(ring._waiting) < 3:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    with pytest.raises(OverloadedError):
        await ring.principal(new_key("nokeyhas"))
    watched.go_on.set()
    assert await asyncio.gather(*waiting) == [None] * 3


async def test_use_is_written_down_beside_the_requests(ring: KeyRing, watched: WatchedStore) -> None:
    used, record = watched.create("team-a", list(Scope))
    _, unused = watched.create("team-b", list(Scope))
    before = datetime.now(UTC)
    assert await ring.principal(used)
    assert watched.find(record.id).last_used_at is None
    await ring.mark()
    last_used_at = watched.find(record.id).last_used_at
    assert last_used_at is not None
    assert before <= last_used_at <= datetime.now(UTC)
    assert watched.find(unused.id).last_used_at is None
    await ring.mark()
    assert watched.find(record.id).last_used_at == last_used_at


async def test_a_wrong_secret_is_no_use_of_the_key(ring: KeyRing, watched: WatchedStore) -> None:
    _, record = watched.create("team-a", list(Scope))
    assert await ring.principal(new_key(record.id)) is None
    await ring.mark()
    assert watched.find(record.id).last_used_at is None


async def test_a_real_database_may_die_and_come_back(clock: Clock) -> None:
    with postgres() as server:
        database = connect(server.new_database())
        await asyncio.to_thread(migrate, database)
        store = KeyStore(database)
        known, record = store.create("team-a", list(Scope))
        unknown, _ = store.create("team-b", list(Scope))
        ring = KeyRing(store, clock)
        assert await ring.principal(known)
        server.kill()
        clock.now += FRESH_S
        assert await ring.principal(known)
        with pytest.raises(DatabaseUnavailableError):
            await ring.principal(unknown)
        await ring.mark()  # is told in the log, and put off
        await asyncio.to_thread(server.start)
        await ring.mark()
        clock.now += PAUSE_S
        assert await ring.principal(unknown)
        assert await ring.principal(known)
        assert store.find(record.id).last_used_at is not None
        await ring.close()
        database.close()
