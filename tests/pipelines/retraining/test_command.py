"""`copyist retrain` and `copyist models`, as far as people see them before any step runs."""

from __future__ import annotations

import fcntl
import json

from click.testing import CliRunner, Result

from pipelines.registry.command import models
from pipelines.retraining.command import retrain
from pipelines.retraining.flow import tell
from pipelines.retraining.run import Run
from services.errors import CopyistError
from tests.pipelines.retraining.runs import Place


def called(*arguments: str) -> Result:
    return CliRunner().invoke(retrain, list(arguments))


def test_a_model_that_is_being_retrained_is_told_with_a_status_of_its_own(place: Place) -> None:
    place.run("first")
    with (place.folder / "runs" / "piano.lock").open("w") as lock:
        lock.write("first\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = called("piano", "--budget", "small", "--run", "second", "--reason", "drift")
    assert result.exit_code == 75
    assert "piano is being retrained already: run first." in result.output
    # It is begun when it is asked for again.
    record = Run(place.folder / "runs" / "second").record
    assert (record.model, record.reason, record.champion.number) == ("piano", "drift", "1")


def test_runs_are_listed_newest_first(place: Place) -> None:
    for name in ("one", "two"):
        tell(place.run(name), "promoted", "outcome")
    lines = called("--list").output.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["two", "piano", "outcome", "promoted"],
        ["one", "piano", "outcome", "promoted"],
    ]


def test_a_run_that_is_not_there_is_told(place: Place) -> None:
    result = called("--resume", "nobody")
    assert isinstance(result.exception, CopyistError)
    assert "There is no run nobody" in str(result.exception)


def test_a_model_or_a_run_must_be_named(place: Place) -> None:
    result = called()
    assert result.exit_code == 2
    assert "Name a model" in result.output


def test_the_shipped_version_is_in_the_list_of_versions(place: Place) -> None:
    result = CliRunner().invoke(models, ["--model", "piano"])
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert ["piano", "1"] in lines
    assert ["serves", "as", "shipped"] in lines
    assert ["alias", "champion"] in lines


def test_programs_get_the_list_as_json(place: Place) -> None:
    result = CliRunner().invoke(models, ["--model", "piano", "--json"])
    assert result.exit_code == 0, result.output
    (version,) = json.loads(result.output.splitlines()[-1])["piano"]
    assert (version["version"], version["serves"], version["aliases"]) == ("1", "as shipped", ["champion"])
