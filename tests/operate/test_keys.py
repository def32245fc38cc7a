"""`copyist keys`, on a database of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click
import pytest
from click.testing import CliRunner, Result

from services.client.cli import copyist
from services.errors import CopyistError
from services.runtime.database import connect
from services.runtime.door.keys import KeyStore, shown
from services.runtime.door.principal import Scope


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    url = f"sqlite:///{tmp_path_factory.mktemp('keys')}/folder/copyist.sqlite"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("COPYIST_DATABASE_URL", url)
        yield url


@pytest.fixture
def store(url: str) -> Iterator[KeyStore]:
    database = connect(url)
    yield KeyStore(database)
    database.close()


def _run(*arguments: str) -> Result:
    result = CliRunner().invoke(copyist, ["keys", *arguments])
    expected = result.exception is None or isinstance(result.exception, SystemExit | CopyistError)
    assert expected, result.exception
    return result


def _made(*arguments: str) -> str:
    result = _run("create", *arguments)
    assert result.exit_code == 0, result.output
    assert "cannot be shown again" in result.stderr
    return result.stdout.removesuffix("\n")


def test_a_key_is_printed_alone_and_once(url: str, store: KeyStore) -> None:
    key = _made("--owner", "team-a", "--label", "nightly batch", "--scope", "amt", "--expires", "90d")
    assert re.fullmatch(r"cpk_[0-9A-Za-z]{8}_[0-9A-Za-z]{49}", key)
    presented = shown(key)
    assert presented is not None
    record = store.find(presented.id)
    assert (record.owner, record.label, record.scopes) == ("team-a", "nightly batch", {Scope.AMT})
    assert record.expires_at is not None
    assert abs(record.expires_at - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=1)
    assert record.proves(presented.digest, datetime.now(UTC))
    for command in (("list",), ("show", key[:12]), ("show", presented.id)):
        told = _run(*command)
        assert told.exit_code == 0
        for text in (key[:12], "team-a", "nightly batch", "amt", "valid"):
            assert text in told.output
        assert key[13:] not in told.output


def test_by_default_a_key_has_all_scopes_for_a_year(url: str, store: KeyStore) -> None:
    record = store.find(_made("--owner", "team-b")[4:12])
    assert record.scopes == set(Scope)
    assert record.expires_at is not None
    assert abs(record.expires_at - datetime.now(UTC) - timedelta(days=365)) < timedelta(minutes=1)
    forever = _made("--owner", "team-b", "--expires", "never")
    assert store.find(forever[4:12]).expires_at is None


def test_a_key_is_rotated_and_revoked(url: str, store: KeyStore) -> None:
    old = _made("--owner", "team-c")
    rotated = _run("rotate", old[:12], "--grace", "30m")
    new = rotated.stdout.strip()
    assert rotated.exit_code == 0
    assert new[:13] == old[:13]
    assert new != old
    assert "old secret counts until" in rotated.stderr
    record = store.find(old[4:12])
    assert record.previous_until is not None
    assert abs(record.previous_until - datetime.now(UTC) - timedelta(minutes=30)) < timedelta(minutes=1)
    assert "state: revoked" in _run("revoke", old[:12]).stdout
    assert store.find(old[4:12]).revoked_at is not None
    assert _run("rotate", old[:12]).exit_code != 0
    assert "revoked" in _run("list").stdout


def test_what_lies_in_the_list_is_in_columns(url: str) -> None:
    _made("--owner", "a-rather-long-owners-name")
    _made("--owner", "b")
    lines = _run("list").stdout.splitlines()
    place = lines[0].index("SCOPES")
    assert all(line[place - 2 : place] == "  " and line[place] != " " for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [
        ("create",),
        ("create", "--owner", ""),
        ("create", "--owner", "a\x1b[2J"),
        ("create", "--owner", "a", "--label", "x" * 201),
        ("create", "--owner", "a", "--scope", "everything"),
        ("create", "--owner", "a", "--expires", "soon"),
        ("create", "--owner", "a", "--expires", "0d"),
        ("create", "--owner", "a", "--expires", "999999999d"),
        ("show", "nokeyhas"),
        ("rotate", "nokeyhas"),
        ("revoke", "nokeyhas"),
        ("rotate", "nokeyhas", "--grace", "never"),
    ],
)
def test_what_cannot_be_done_is_said(url: str, store: KeyStore, arguments: tuple[str, ...]) -> None:
    _made("--owner", "somebody")
    before = store.all()
    result = _run(*arguments)
    assert result.exit_code != 0
    assert result.stdout == ""
    assert store.all() == before


def test_a_setting_that_cannot_be_meant_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COPYIST_DATABASE_URL", "mysql://nowhere")
    result = _run("list")
    assert isinstance(result.exception, CopyistError)
    assert "COPYIST_DATABASE_URL" in str(result.exception)
    monkeypatch.setenv("COPYIST_AUTH", "perhaps")
    assert "COPYIST_AUTH" in _run("list").output


def test_the_command_is_among_all(url: str) -> None:
    context = click.Context(copyist)
    assert {"keys", "migrate", "worker"} <= set(copyist.list_commands(context))
