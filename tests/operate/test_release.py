"""`copyist release`, on models of a few bytes and a manifest of its own."""

from __future__ import annotations

import json
import re
import statistics
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from services.client.cli import copyist
from services.errors import CopyistError
from services.runtime.release.artefacts import Artefacts, UnknownVersionError
from services.runtime.release.board import open_board
from services.runtime.release.manifest import Manifest
from services.runtime.release.steps import WrongStepError
from tests.runtime.release.small_models import candidate, ship
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for model in ("piano", "symbols"):
        ship(tmp_path / "shipped", model)
    monkeypatch.setenv("COPYIST_MODEL_REPOSITORY", str(tmp_path / "shipped"))
    monkeypatch.setenv("COPYIST_MODELS_URL", str(tmp_path / "models"))
    monkeypatch.setenv("COPYIST_RELEASE_URL", str(tmp_path / "release.json"))
    monkeypatch.setenv("COLUMNS", "120")
    candidate(tmp_path / "run")
    return tmp_path


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(copyist, ["release", *arguments])
    if isinstance(result.exception, CopyistError):
        raise result.exception
    return result


def done(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def manifest(*arguments: str) -> Manifest:
    return Manifest.decode(done(*arguments, "--json"))


def rows(table: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in table.splitlines() if line.startswith(" ")]


@pytest.fixture
def published(place: Path) -> str:
    answer: dict[str, Any] = json.loads(
        done("publish", "piano", str(place / "run"), "--note", "a run", "--json")
    )
    assert answer["model"] == "piano"
    number: str = answer["version"]
    return number


def test_before_the_first_release_all_models_serve_as_shipped() -> None:
    head, *models = rows(done("status"))
    assert head == ["model", "role", "version", "share", "digest", "since"]
    assert [[*row[:4], row[-1]] for row in models] == [
        ["piano", "stable", "1", "100 %", "as shipped"],
        ["symbols", "stable", "1", "100 %", "as shipped"],
    ]
    assert "Nothing was released yet" in done("history")
    assert json.loads(done("history", "--json")) == []
    assert manifest("status").revision == 0


def test_a_version_is_published_with_its_note(place: Path, published: str) -> None:
    assert published == "2"
    artefacts = Artefacts(str(place / "models"), place / "shipped")
    assert artefacts.index("piano", "2").note == "a run"
    assert "piano 3 is published; it does not serve yet" in done("publish", "piano", str(place / "run"))
    assert manifest("status").models == {}


def test_a_version_is_tried_promoted_and_rolled_back(place: Path, published: str) -> None:
    told = done("canary", "piano", "2", "--share", "5%", "--by", "ann", "--why", "f1 0.95")
    assert re.search(r"Revision 1, 20.*Z: canary piano 2 at 5 %, by ann: f1 0.95", told)
    assert [row[:4] for row in rows(told)[1:3]] == [
        ["piano", "stable", "1", "95 %"],
        ["piano", "canary", "2", "5 %"],
    ]
    held = manifest("canary", "piano", "2", "--share", "0.25", "--hold").models["piano"].canary
    assert held is not None
    assert (held.share, held.automatic) == (0.25, False)
    assert "held" in done("status")
    assert manifest("promote", "piano").models["piano"].stable.number == "2"
    back = manifest("rollback", "piano", "--why", "complaints")
    assert back.models["piano"].stable == Artefacts(str(place / "models"), place / "shipped").shipped("piano")
    assert back.change.why == "complaints"
    assert re.fullmatch(r"[^@\s]+@[^@\s]+", back.change.by), "who and where, where nobody is named"
    assert [each["revision"] for each in json.loads(done("history", "--json"))] == [4, 3, 2, 1]
    table = rows(done("history", "--limit", "2"))
    assert [[row[0], row[3]] for row in table[1:]] == [
        ["4", "roll back piano 2 to 1"],
        ["3", "promote piano 2"],
    ]
    assert table[1][-1] == "complaints"


def test_a_canary_is_rolled_back_before_anything_else(published: str) -> None:
    done("canary", "piano", "2", "--share", "100%")
    release = manifest("rollback", "piano").models["piano"]
    assert (release.stable.number, release.canary) == ("1", None)


def test_a_rollback_reaches_who_follows_within_a_second(place: Path, published: str) -> None:
    done("canary", "piano", "2", "--share", "5%")
    stopped, heard, taken_s = Event(), dict[int, float](), []

    def follow() -> None:
        for each in open_board(str(place / "release.json")).follow(stopped):
            heard[each.revision] = time.monotonic()

    follower = Thread(target=follow)
    follower.start()
    try:
        wait_for(lambda: 1 in heard)
        # The middle one of five: a machine that is held up for a moment delays one or two.
        for revision in (2, 4, 6, 8, 10):
            done("rollback", "piano")
            written = time.monotonic()
            wait_for(lambda revision=revision: revision in heard)  # type: ignore[misc]
            taken_s.append(heard[revision] - written)
            done("canary", "piano", "2", "--share", "5%")
        assert statistics.median(taken_s) < 1
    finally:
        stopped.set()
        follower.join()


def test_a_version_in_the_shadow_comes_and_goes(published: str) -> None:
    assert ["piano", "shadow", "2", "10 %"] in [
        row[:4] for row in rows(done("shadow", "piano", "2", "--share", "10%"))
    ]
    assert manifest("shadow", "piano", "--stop").models["piano"].shadow is None
    with pytest.raises(WrongStepError, match="No version of piano is a shadow"):
        run("shadow", "piano", "--stop")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("canary", "piano", "2", "--share", "500%"),
            "is no share above 0 and up to all, such as 5% or 0.05",
        ),
        (("canary", "piano", "2", "--share", "0"), "is no share"),
        (("canary", "piano", "2", "--share", "nan"), "is no share"),
        (("canary", "piano", "2"), "Missing option '--share'"),
        (("shadow", "piano"), "Give a VERSION and its --share, or --stop alone."),
        (
            ("shadow", "piano", "2", "--share", "5%", "--stop"),
            "Give a VERSION and its --share, or --stop alone.",
        ),
        (("publish", "piano", "/nowhere"), "does not exist"),
    ],
)
def test_wrong_command_lines_say_what_is_right(arguments: tuple[str, ...], told: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())


def test_what_is_not_there_is_not_released(published: str) -> None:
    with pytest.raises(UnknownVersionError, match="There are: 1, 2"):
        run("canary", "piano", "9", "--share", "5%")
    with pytest.raises(UnknownVersionError, match="The models are: piano, symbols"):
        run("canary", "violin", "1", "--share", "5%")
    with pytest.raises(WrongStepError, match="serves already"):
        run("canary", "piano", "1", "--share", "5%")
    assert manifest("status").revision == 0
