"""API keys: their form, and the table that holds what is known of them (never the keys themselves).

A key is `cpk_`, 8 characters that name it, `_`, and 49 that prove it: a secret of 43 base-62 digits (256
bits) and the CRC-32 of all before it in 6, so that a key is known by its looks, to scanners for leaked
secrets too, and a slip of the hand is told without a look into the database. As the secret is random, one
round of SHA-256 hides it well.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
import zlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

import sqlalchemy as sa

from services.errors import InputError
from services.runtime.database import Database, UtcTime
from services.runtime.door.principal import Principal, Scope

PREFIX: Final = "cpk_"
LONGEST_NAME: Final = 200
_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM: Final = re.compile(r"(cpk_([0-9A-Za-z]{8})_[0-9A-Za-z]{43})([0-9A-Za-z]{6})")

API_KEYS: Final = sa.Table(
    "api_keys",
    sa.MetaData(),
    sa.Column("id", sa.String(8), primary_key=True),
    sa.Column("owner", sa.String(LONGEST_NAME), nullable=False),
    sa.Column("label", sa.String(LONGEST_NAME), nullable=False),
    sa.Column("scopes", sa.String(100), nullable=False),
    sa.Column("secret_sha256", sa.String(64), nullable=False),
    sa.Column("previous_sha256", sa.String(64)),
    sa.Column("previous_until", UtcTime),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("expires_at", UtcTime),
    sa.Column("revoked_at", UtcTime),
    sa.Column("last_used_at", UtcTime),
)


class KeyNotFoundError(InputError):
    """There is no such key."""

    slug = "not-found"
    title = "There is no such key"
    status = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What is known of a key. Times are in UTC; None is never.

    Attributes:
        id: the 8 characters that name it.
        owner: for whom it speaks.
        label: what it is for.
        scopes: what may be done with it.
        secret_sha256: of the whole key, in hex.
        previous_sha256: of the one before its last rotation; empty if there was none.
        previous_until: until when that one counts.
        created_at: when it was made.
        expires_at: from when on it counts no more.
        revoked_at: since when it counts no more.
        last_used_at: when it was last used, give or take a minute.
    """

    id: str
    owner: str
    label: str
    scopes: frozenset[Scope]
    secret_sha256: str
    previous_sha256: str = ""
    previous_until: datetime | None = None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def counts(self, now: datetime) -> bool:
        """Whether the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def proves(self, digest: str, now: datetime) -> bool:
        """Whether a key of this digest may come in."""
        right = hmac.compare_digest(digest, self.secret_sha256)
        if self.previous_until is not None and now < self.previous_until:
            right |= hmac.compare_digest(digest, self.previous_sha256)
        return right and self.counts(now)

    def principal(self) -> Principal:
        """Who calls with this key."""
        return Principal(self.owner, self.scopes, PREFIX + self.id)


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A key as a caller shows it: its name, and the SHA-256 of all of it in hex."""

    id: str
    digest: str


def shown(text: str) -> ShownKey | None:
    """Take a text for a key; None unless it has a key's form and its check digits are right."""
    match = _FORM.fullmatch(text)
    if match is None or _check_digits(match[1]) != match[3]:
        return None
    return ShownKey(match[2], _digest(text))


def new_key(key_id: str) -> str:
    """Make a key of this name with a new secret."""
    body = f"{PREFIX}{key_id}_{_random_digits(43)}"
    return body + _check_digits(body)


class KeyStore:
    """The keys in the database; synchronous, for any number of threads.

    All methods raise DatabaseUnavailableError when the database does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, owner: str, scopes: Collection[Scope], label: str = "", expires_at: datetime | None = None
    ) -> tuple[str, KeyRecord]:
        """Make a key; its text is given here, and never again.

        Raises:
            InputError: owner or label are too long or hold what cannot be printed, there is no owner or no
                scope, or the key would have expired already.
        """
        _check_name("owner", owner)
        if label:
            _check_name("label", label)
        now = datetime.now(UTC)
        if not scopes or (expires_at is not None and expires_at <= now):
            raise InputError(
                "A key without a scope, or one that has expired already, would be of no use.",
                remedy="Give it a scope and a time to come.",
            )
        key_id = _random_digits(8)
        key = new_key(key_id)
        record = KeyRecord(
            id=key_id,
            owner=owner,
            label=label,
            scopes=frozenset(scopes),
            secret_sha256=_digest(key),
            created_at=now,
            expires_at=expires_at,
        )
        with self._database.begin() as connection:
            connection.execute(sa.insert(API_KEYS).values(**_row(record)))
        return key, record

    def many(self, ids: Iterable[str]) -> dict[str, KeyRecord]:
        """Give keys by their names; absent ones are left out."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(API_KEYS).where(API_KEYS.c.id.in_(list(ids)))).all()
        return {row.id: _record(row) for row in rows}

    def all(self) -> list[KeyRecord]:
        """Give all keys, the newest first."""
        newest_first = sa.select(API_KEYS).order_by(API_KEYS.c.created_at.desc(), API_KEYS.c.id)
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(newest_first)]

    def find(self, key_id: str) -> KeyRecord:
        """Give one key.

        Raises:
            KeyNotFoundError: there is none of this name.
        """
        try:
            return self.many([key_id])[key_id]
        except KeyError:
            raise KeyNotFoundError(
                f"There is no key {key_id!r}.", remedy="`copyist keys list` shows which there are."
            ) from None

    def rotate(self, key_id: str, grace: timedelta) -> tuple[str, KeyRecord]:
        """Give a key a new secret; the one it had counts for `grace` longer, any before that no more.

        Raises:
            KeyNotFoundError: there is none of this name.
            InputError: the key is revoked or has expired.
        """
        now = datetime.now(UTC)
        key = new_key(key_id)
        with self._database.begin() as connection:
            changed = connection.execute(
                sa.update(API_KEYS)
                .where(API_KEYS.c.id == key_id, API_KEYS.c.revoked_at.is_(None))
                .where(API_KEYS.c.expires_at.is_(None) | (API_KEYS.c.expires_at > now))
                .values(
                    previous_sha256=API_KEYS.c.secret_sha256,
                    previous_until=now + grace,
                    secret_sha256=_digest(key),
                )
            )
        record = self.find(key_id)
        if not changed.rowcount:
            raise InputError(
                f"The key {key_id!r} counts no more.", remedy="Make a new one: `copyist keys create`."
            )
        return key, record

    def revoke(self, key_id: str) -> KeyRecord:
        """Let a key count no more; one that was revoked before stays so.

        Raises:
            KeyNotFoundError: there is none of this name.
        """
        with self._database.begin() as connection:
            connection.execute(
                sa.update(API_KEYS)
                .where(API_KEYS.c.id == key_id, API_KEYS.c.revoked_at.is_(None))
                .values(revoked_at=datetime.now(UTC))
            )
        return self.find(key_id)

    def mark_used(self, ids: Iterable[str], when: datetime) -> None:
        """Write down that keys were used."""
        with self._database.begin() as connection:
            connection.execute(
                sa.update(API_KEYS).where(API_KEYS.c.id.in_(list(ids))).values(last_used_at=when)
            )


def is_name(text: str) -> bool:
    """Whether a text is fit to name an owner: printable, not blank at its ends, of bounded length."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable() and text == text.strip()


def _check_name(what: str, text: str) -> None:
    if not is_name(text):
        raise InputError(
            f"The key's {what} is empty, too long, or holds what cannot be printed.",
            remedy=f"Use 1 to {LONGEST_NAME} printable characters.",
        )


def _digest(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def _random_digits(number: int) -> str:
    return "".join(secrets.choice(_DIGITS) for _ in range(number))


def _check_digits(body: str) -> str:
    value = zlib.crc32(body.encode())
    digits = ""
    for _ in range(6):
        value, digit = divmod(value, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


def _row(record: KeyRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "owner": record.owner,
        "label": record.label,
        "scopes": " ".join(sorted(record.scopes)),
        "secret_sha256": record.secret_sha256,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
    }


def _record(row: Any) -> KeyRecord:
    known = set(Scope)
    return KeyRecord(
        id=row.id,
        owner=row.owner,
        label=row.label,
        scopes=frozenset(Scope(name) for name in row.scopes.split() if name in known),
        secret_sha256=row.secret_sha256,
        previous_sha256=row.previous_sha256 or "",
        previous_until=row.previous_until,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
