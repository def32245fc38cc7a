"""Alerts of drift as Alertmanager tells them, and the trigger as a process whose runs are stand-ins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from services.runtime.database import connect
from services.trigger.alerts import Alert
from services.trigger.decisions import Policy, RequestState, RetrainingRequest
from services.trigger.store import RequestStore
from services.triton.environment import REPOSITORY_ROOT
from tests.databases import free_port
from tests.waiting import wait_for

TOKEN = "token-of-the-tests"
POLICY = Policy(models=frozenset({"piano", "symbols"}), cooldown=timedelta(hours=24), per_month=3)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

#: Stands for `copyist retrain`: says that it was begun, waits until the file `end` is there, and ends so.
STAND_IN = """
import pathlib, sys, time
here = pathlib.Path(__file__).parent
with (here / "begun").open("a") as begun:
    print(*sys.argv[1:], file=begun)
end = here / "end"
while not end.exists():
    time.sleep(0.02)
print("promoted: piano 2", flush=True)
sys.exit(int(end.read_text()))
"""

#: The trigger with that stand-in in place of `copyist`.
PROGRAM = """
import pathlib, sys
from services.runtime.settings import Settings
from services.trigger.process import ProcessStarter
from services.trigger.program import run_trigger
folder = pathlib.Path(sys.argv[1])
starter = ProcessStarter(folder / "triggered", "small", (sys.executable, str(folder / "stand_in.py")))
run_trigger(Settings.from_environment(), starter)
"""


def labels(**more: str) -> dict[str, str]:
    """Labels of an alert that asks for a retraining of piano."""
    return {
        "alertname": "CopyistInputDrift",
        "severity": "ticket",
        "action": "retrain",
        "model": "piano",
        "version": "1",
        "feature": "snr_db",
        "window": "1d",
        **more,
    }


def alert(*, firing: bool = True, **more: str) -> Alert:
    """An alert that asks for a retraining of piano."""
    return Alert("0123456789abcdef", firing, labels(**more))


def request(**more: Any) -> RetrainingRequest:
    """A retraining of piano for version 1 that is under way."""
    values: dict[str, Any] = {
        "id": "a" * 32,
        "model": "piano",
        "version": "1",
        "reason": "CopyistInputDrift",
        "state": RequestState.RUNNING,
        "attempts": 1,
        "message": "",
        "requested_at": NOW,
        "due_at": NOW,
        "started_at": NOW,
        "ended_at": None,
    }
    return RetrainingRequest(**values | more)


def webhook(*alerts: dict[str, str], status: str = "firing") -> dict[str, Any]:
    """The JSON of a call of Alertmanager's."""
    return {
        "version": "4",
        "groupKey": "{}",
        "status": status,
        "receiver": "retraining",
        "alerts": [
            {"status": status, "labels": each, "annotations": {}, "fingerprint": f"{number:016x}"}
            for number, each in enumerate(alerts)
        ],
    }


@dataclass
class Trigger:
    """A trigger in a process of its own; several may have the same folder and database."""

    folder: Path
    database_url: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def begun(self) -> list[str]:
        """The command lines of the runs that were begun."""
        file = self.folder / "begun"
        return file.read_text().splitlines() if file.exists() else []

    def requests(self) -> list[RetrainingRequest]:
        """The requests in its database, the newest first."""
        database = connect(self.database_url)
        try:
            return RequestStore(database).requests()
        finally:
            database.close()

    def end_runs(self, status: int = 0) -> None:
        """Let the runs end with an exit status."""
        (self.folder / "end").write_text(str(status))

    def start(self, **variables: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "stand_in.py").write_text(STAND_IN)
        own = {
            "COPYIST_DATABASE_URL": self.database_url,
            "COPYIST_TRIGGER_PORT": str(self.port),
            "COPYIST_TRIGGER_TOKEN": TOKEN,
            **variables,
        }
        with (self.folder / f"log-{self.port}").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(self.folder)],
                cwd=REPOSITORY_ROOT,
                env={**os.environ, **own},
                stdout=log,
                stderr=log,
            )
        wait_for(self._ready)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(120)
            self.process = None

    def post(self, call: object, token: str = TOKEN) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {token}"}
        return httpx.post(f"{self.http}/v1/alerts", json=call, headers=bearer, timeout=60)

    def metrics(self) -> str:
        return httpx.get(f"{self.http}/metrics", timeout=60).text

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / f"log-{self.port}").read_text()
        try:
            return httpx.get(f"{self.http}/readyz").is_success
        except httpx.TransportError:
            return False
