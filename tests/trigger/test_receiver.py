"""The trigger as a program: whom it lets in, what it answers, and what it keeps over a restart."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.runtime.database import connect
from services.runtime.migrations import migrate
from services.runtime.settings import PREFIX
from services.trigger.decisions import RequestState
from services.triton.environment import REPOSITORY_ROOT
from tests.databases import free_port, postgres
from tests.trigger.drifted import TOKEN, Trigger, labels, webhook
from tests.waiting import wait_for


def decided(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["decision"] for each in answer.json()["decisions"]]


def command(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    own = {
        PREFIX + "DATABASE_URL": f"sqlite:///{tmp_path}/copyist.sqlite",
        PREFIX + "RUNS_FOLDER": str(tmp_path / "of-command"),
        PREFIX + "TRIGGER_PORT": str(free_port()),
        **variables,
    }
    return subprocess.run(
        [sys.executable, "-m", "services.client.cli", "trigger", *arguments],
        cwd=REPOSITORY_ROOT,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trigger]:
    """A trigger that nobody makes start anything."""
    folder = tmp_path_factory.mktemp("refusing")
    trigger = Trigger(folder, f"sqlite:///{folder}/copyist.sqlite")
    trigger.start()
    yield trigger
    trigger.stop()
    assert not trigger.begun


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "a" * 9000])
def test_nobody_is_let_in_without_the_token(refusing: Trigger, token: str) -> None:
    address = f"{refusing.http}/v1/alerts"
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    refused = httpx.post(address, json=webhook(labels()), headers=bearer, timeout=60)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert TOKEN not in refused.text


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[" * 100_000, 400), (b"{}", 400), (b" " * (5 << 20), 413)]
)
def test_what_is_no_call_of_alertmanagers_is_refused_for_good(
    refusing: Trigger, body: bytes, status: int
) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    refused = httpx.post(f"{refusing.http}/v1/alerts", content=body, headers=bearer, timeout=60)
    assert refused.status_code == status
    assert f'copyist_retraining_calls_refused_total{{status="{status}"}}' in refusing.metrics()


def test_models_that_are_made_up_make_no_series(refusing: Trigger) -> None:
    made_up = [labels(model=f"made-up-{number}") for number in range(50)]
    assert set(decided(refusing.post(webhook(*made_up)))) == {"not-for-retraining"}
    metrics = refusing.metrics()
    assert "made-up" not in metrics
    assert 'copyist_retraining_requests_total{decision="not-for-retraining",model="other"} 50.0' in metrics


def test_one_run_is_started_and_its_end_recorded(trigger: Trigger, tmp_path: Path) -> None:
    both = webhook(labels(), labels(feature="pitch"), labels(alertname="CopyistTargetDown", action="look"))
    assert decided(trigger.post(both)) == ["started", "already-done", "not-for-retraining"]
    assert decided(trigger.post(both))[0] == "already-done"
    wait_for(lambda: len(trigger.begun) == 1)
    assert trigger.begun[0].startswith("retrain piano --run ")
    metrics = trigger.metrics()
    assert 'copyist_retraining_requests_total{decision="started",model="piano"} 1.0' in metrics
    assert 'copyist_retraining_requests_total{decision="already-done",model="piano"} 3.0' in metrics
    assert "# TYPE copyist_retraining_running gauge" in metrics
    trigger.end_runs()
    wait_for(lambda: trigger.requests()[0].state is RequestState.SUCCEEDED)
    head, line = command(tmp_path, "list").stdout.splitlines()
    assert head.split()[:4] == ["REQUEST", "MODEL", "VERSION", "STATE"]
    assert line.endswith("CopyistInputDrift: snr_db over 1d  promoted: piano 2")
    told = command(tmp_path, "list", "--decisions").stdout
    assert [line.split()[2] for line in told.splitlines()[1:]].count("already-done") == 2


def test_a_run_outlives_its_trigger_and_the_next_one_goes_on_with_it(trigger: Trigger) -> None:
    assert decided(trigger.post(webhook(labels()))) == ["started"]
    wait_for(lambda: len(trigger.begun) == 1)
    wait_for(lambda: 'copyist_retraining_running{model="piano"} 1.0' in trigger.metrics())
    trigger.stop(signal.SIGKILL)
    trigger.start()
    assert decided(trigger.post(webhook(labels()))) == ["already-done"]
    trigger.end_runs(4)
    wait_for(lambda: trigger.requests()[0].state is RequestState.FAILED)
    assert len(trigger.begun) == 1


def test_it_does_not_begin_without_a_token_or_where_its_setting_means_nothing(tmp_path: Path) -> None:
    refused = command(tmp_path, "serve", COPYIST_TRIGGER_TOKEN="")
    assert refused.returncode == 1
    assert refused.stderr.startswith("copyist: COPYIST_TRIGGER_TOKEN is not set, or holds")
    refused = command(tmp_path, "serve", COPYIST_TRIGGER_TOKEN="t", COPYIST_RETRAIN_BY="magic")
    assert refused.returncode == 1
    assert refused.stderr == (
        "copyist: COPYIST_RETRAIN_BY=magic is neither process nor cronjob://NAME. Set it to one of these.\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = command(tmp_path, "serve", COPYIST_TRIGGER_TOKEN="t", COPYIST_TRIGGER_PORT=port)
    assert refused.returncode == 1
    assert "(COPYIST_TRIGGER_PORT): Address already in use" in refused.stderr


def test_a_database_that_is_away_is_told_so_that_alertmanager_calls_again(tmp_path: Path) -> None:
    with postgres() as server:
        url = server.new_database()
        database = connect(url)
        migrate(database)
        database.close()
        trigger = Trigger(tmp_path, url)
        trigger.start()
        try:
            server.kill()
            assert trigger.post(webhook(labels())).status_code == 503
            wait_for(lambda: httpx.get(f"{trigger.http}/readyz", timeout=60).status_code == 503)
            server.start()
            assert decided(trigger.post(webhook(labels()))) == ["started"]
            wait_for(lambda: len(trigger.begun) == 1)
        finally:
            trigger.end_runs()
            trigger.stop()
