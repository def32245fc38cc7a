"""API keys: their form, and what the database keeps of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.errors import InputError
from services.runtime.database import Database, connect
from services.runtime.door.keys import API_KEYS, KeyNotFoundError, KeyStore, new_key, shown
from services.runtime.door.principal import Scope


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, prepared: Path, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        shutil.copy(prepared, tmp_path / "keys.sqlite")
        database = connect(f"sqlite:///{tmp_path}/keys.sqlite")
    else:
        database = connect(request.getfixturevalue("postgres_url"))
        with database.begin() as connection:
            connection.execute(sa.delete(API_KEYS))
    yield database
    database.close()


def _now() -> datetime:
    return datetime.now(UTC)


def _proves(store: KeyStore, key: str, now: datetime | None = None) -> bool:
    presented = shown(key)
    assert presented is not None
    return store.find(presented.id).proves(presented.digest, now or _now())


def test_a_key_is_told_by_its_looks_and_slips_are_noticed() -> None:
    key = new_key("AbCd1234")
    assert key.startswith("cpk_AbCd1234_")
    assert len(key) == 62
    presented = shown(key)
    assert presented is not None
    assert presented.id == "AbCd1234"
    for place in range(len(key)):
        slip = key[:place] + ("x" if key[place] != "x" else "y") + key[place + 1 :]
        assert shown(slip) is None, place
    for odd in ("", key[:-1], key + "A", key + "\n", f" {key}", key.upper(), key.replace("_", "-")):
        assert shown(odd) is None, odd


def test_secrets_are_new_each_time() -> None:
    assert len({new_key("AbCd1234") for _ in range(1000)}) == 1000


def test_the_database_keeps_no_secret(store: KeyStore, database: Database) -> None:
    key, record = store.create("team-a", [Scope.AMT], "nightly batch")
    with database.read() as connection:
        (row,) = connection.execute(sa.text("SELECT * FROM api_keys")).all()
    secret = key.rpartition("_")[2]
    assert not any(secret in str(value) for value in row)
    assert secret not in repr(record)
    assert key not in repr(shown(key))


def test_a_key_speaks_for_its_owner(store: KeyStore) -> None:
    key, _ = store.create("team-a", [Scope.AMT], "nightly batch")
    assert _proves(store, key)
    presented = shown(key)
    assert presented is not None
    record = store.find(presented.id)
    assert (record.owner, record.label, record.scopes) == ("team-a", "nightly batch", {Scope.AMT})
    caller = record.principal()
    assert (caller.owner, caller.scopes, caller.credential) == ("team-a", {Scope.AMT}, f"cpk_{record.id}")


def test_another_secret_with_the_same_name_proves_nothing(store: KeyStore) -> None:
    _, record = store.create("team-a", list(Scope))
    assert not _proves(store, new_key(record.id))


def test_a_key_expires(store: KeyStore) -> None:
    end = _now() + timedelta(days=1)
    key, _ = store.create("team-a", list(Scope), expires_at=end)
    assert _proves(store, key)
    assert _proves(store, key, end - timedelta(seconds=1))
    assert not _proves(store, key, end)


def test_after_a_rotation_the_old_secret_counts_for_a_while(store: KeyStore) -> None:
    first, record = store.create("team-a", [Scope.OMR], "label")
    second, _ = store.rotate(record.id, timedelta(hours=1))
    assert first[:13] == second[:13]
    assert _proves(store, first)
    assert _proves(store, second)
    assert not _proves(store, first, _now() + timedelta(hours=1))
    assert _proves(store, second, _now() + timedelta(hours=1))
    third, again = store.rotate(record.id, timedelta(hours=1))
    assert [_proves(store, key) for key in (first, second, third)] == [False, True, True]
    assert (again.owner, again.scopes, again.label) == ("team-a", {Scope.OMR}, "label")


def test_a_revoked_key_counts_no_more_and_cannot_be_rotated(store: KeyStore) -> None:
    first, record = store.create("team-a", list(Scope))
    second, _ = store.rotate(record.id, timedelta(hours=1))
    revoked_at = store.revoke(record.id).revoked_at
    assert not _proves(store, first)
    assert not _proves(store, second)
    assert store.revoke(record.id).revoked_at == revoked_at
    with pytest.raises(InputError, match="counts no more"):
        store.rotate(record.id, timedelta(hours=1))
    assert not _proves(store, second)


def test_an_expired_key_cannot_be_rotated(store: KeyStore, database: Database) -> None:
    _, record = store.create("team-a", list(Scope), expires_at=_now() + timedelta(days=1))
    with database.begin() as connection:
        connection.execute(
            sa.text("UPDATE api_keys SET expires_at = :then"), {"then": _now() - timedelta(seconds=1)}
        )
    with pytest.raises(InputError, match="counts no more"):
        store.rotate(record.id, timedelta(hours=1))


@pytest.mark.parametrize("owner", ["", " ", " a", "a\n", "a\x1b[2J", "a\0", "a\u202eb", "x" * 201])
def test_odd_owners_and_labels_are_refused(store: KeyStore, owner: str) -> None:
    with pytest.raises(InputError, match="owner"):
        store.create(owner, list(Scope))
    if owner:
        with pytest.raises(InputError, match="label"):
            store.create("team-a", list(Scope), owner)
    assert store.all() == []


def test_a_key_must_be_of_some_use(store: KeyStore) -> None:
    with pytest.raises(InputError, match="scope"):
        store.create("team-a", [])
    with pytest.raises(InputError, match="expired"):
        store.create("team-a", list(Scope), expires_at=_now())


def test_what_does_not_exist_is_said(store: KeyStore) -> None:
    for change in (store.find, store.revoke, lambda key_id: store.rotate(key_id, timedelta(0))):
        with pytest.raises(KeyNotFoundError):
            change("nokeyhas")


def test_keys_are_listed_newest_first(store: KeyStore) -> None:
    ids = [store.create(owner, list(Scope))[1].id for owner in ("a", "b", "c")]
    assert [record.id for record in store.all()] == ids[::-1]
    assert set(store.many([ids[0], "nokeyhas", ids[2]])) == {ids[0], ids[2]}
