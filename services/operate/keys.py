"""`copyist keys`: makes, shows, changes and revokes API keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from services.operate.columns import columns
from services.operate.environment import settings
from services.runtime.database import connect
from services.runtime.door.keyring import FRESH_S
from services.runtime.door.keys import PREFIX, KeyRecord, KeyStore
from services.runtime.door.principal import Scope
from services.runtime.migrations import prepare

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_LONGEST_DAYS: Final = 36_500


class Duration(click.ParamType[timedelta]):
    """A length of time, such as `90d`, `12h` or `30m`; where it may be, `never`."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Parse it, or say how it is written."""
        if isinstance(value, timedelta):
            return value
        match = re.fullmatch(r"(\d{1,9})([mhd])", str(value))
        length = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
        if length is None or length > timedelta(days=_LONGEST_DAYS):
            self.fail(f"{value!r} is no length of time such as 90d, 12h or 30m.", param, ctx)
        return length


class Lifetime(Duration):
    """A length of time, or `never` for one without end."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Parse it, or say how it is written."""
        return timedelta.max if value == "never" else super().convert(value, param, ctx)


@contextmanager
def _store() -> Iterator[KeyStore]:
    database = connect(settings().database_url)
    try:
        prepare(database)
        yield KeyStore(database)
    finally:
        database.close()


def _key_id(context: click.Context, parameter: click.Parameter, text: str) -> str:
    return text.removeprefix(PREFIX).partition("_")[0]


_id_argument = click.argument("key_id", metavar="KEY", callback=_key_id)


@click.group()
def keys() -> None:
    """Make, show, rotate and revoke API keys.

    They are kept in the database of COPYIST_DATABASE_URL, and asked for where COPYIST_AUTH is on. KEY is a
    key's beginning, cpk_ and 8 characters, as `copyist keys list` shows it.
    """


@keys.command()
@click.option("--owner", required=True, help="For whom the key speaks: owners see only what is theirs.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="A service that may be used; give it again for another.  [default: all]",
)
@click.option("--label", default="", help="What the key is for.")
@click.option(
    "--expires",
    type=Lifetime(),
    default="365d",
    show_default=True,
    metavar="TIME",
    help="How long it counts: 90d, 12h, 30m, or never.",
)
def create(owner: str, scopes: tuple[str, ...], label: str, expires: timedelta) -> None:
    """Make a key. It is printed once, alone, on standard output, and kept nowhere."""
    allowed = [Scope(name) for name in scopes] or list(Scope)
    expires_at = None if expires == timedelta.max else datetime.now(UTC) + expires
    with _store() as store:
        key, record = store.create(owner, allowed, label, expires_at)
    click.echo(_told(record), err=True)
    click.echo("  Keep it now: it cannot be shown again.", err=True)
    click.echo(key)


@keys.command("list")
def list_() -> None:
    """List all keys, the newest first."""
    with _store() as store:
        records = store.all()
    rows: list[tuple[str, ...]] = [
        ("KEY", "OWNER", "SCOPES", "STATE", "CREATED", "EXPIRES", "LAST USED", "LABEL")
    ]
    rows += [_row(record) for record in records]
    click.echo(columns(rows))


@keys.command()
@_id_argument
def show(key_id: str) -> None:
    """Show what is known of a key."""
    with _store() as store:
        click.echo(_told(store.find(key_id)))


@keys.command()
@_id_argument
@click.option(
    "--grace",
    type=Duration(),
    default="24h",
    show_default=True,
    metavar="TIME",
    help="How long the old secret goes on counting.",
)
def rotate(key_id: str, grace: timedelta) -> None:
    """Give a key a new secret; the new key is printed once, alone, on standard output.

    Owner, scopes and expiry stay. The old key counts for the grace time; one rotated out before it no more.
    """
    with _store() as store:
        key, record = store.rotate(key_id, grace)
    click.echo(_told(record), err=True)
    click.echo("  Keep it now: it cannot be shown again.", err=True)
    click.echo(key)


@keys.command()
@_id_argument
def revoke(key_id: str) -> None:
    """Let a key count no more; every process hears of it within seconds."""
    with _store() as store:
        click.echo(_told(store.revoke(key_id)))
    click.echo(f"  It is refused everywhere within {FRESH_S:.0f} seconds.", err=True)


def _state(record: KeyRecord) -> str:
    if record.revoked_at is not None:
        return "revoked"
    return "valid" if record.counts(datetime.now(UTC)) else "expired"


def _row(record: KeyRecord) -> tuple[str, ...]:
    return (
        PREFIX + record.id,
        record.owner,
        ",".join(sorted(record.scopes)),
        _state(record),
        _moment(record.created_at),
        _moment(record.expires_at),
        _moment(record.last_used_at),
        record.label,
    )


def _told(record: KeyRecord) -> str:
    state = _state(record)
    if record.revoked_at is not None:
        state = f"revoked {_moment(record.revoked_at)}"
    known = {
        "key": PREFIX + record.id,
        "owner": record.owner,
        "label": record.label or "-",
        "scopes": ", ".join(sorted(record.scopes)),
        "state": state,
        "created": _moment(record.created_at),
        "expires": _moment(record.expires_at),
        "last used": _moment(record.last_used_at),
    }
    if record.previous_until is not None and record.previous_until > datetime.now(UTC):
        known["old secret counts until"] = _moment(record.previous_until)
    return "\n".join(f"{name}: {value}" for name, value in known.items())


def _moment(moment: datetime | None) -> str:
    return "never" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
