"""The real Alertmanager with the repository's configuration, beside a receiver of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from tests.databases import free_port
from tests.monitoring.promtool import MONITORING
from tests.waiting import wait_for

CONFIGURATION: Final = MONITORING / "alertmanager.yaml"
#: The configuration's times, shortened for tests: seconds instead of minutes and hours.
_TIMES: Final = {"group_wait": "1s", "group_interval": "2s", "repeat_interval": "2s"}
#: What is asked may be held up; httpx alone waits for five seconds.
_WITHIN_S: Final = 60.0


def program(name: str) -> str:
    """Where it is; without it the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian's package prometheus-alertmanager)")
    return found


def amtool(*arguments: str) -> str:
    """Run Alertmanager's own tool; what it has against its input fails the test."""
    done = subprocess.run(
        [program("amtool"), *arguments], capture_output=True, text=True, check=False, timeout=_WITHIN_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass
class Alertmanager:
    """Alertmanager in a folder of its own.

    Attributes:
        folder: of its configuration, its state and the token.
        webhook: address that it calls in place of the local trigger's.
        token: that it shows there.
        configuration: the repository's, or another.
    """

    folder: Path
    webhook: str
    token: str
    configuration: str = field(default_factory=CONFIGURATION.read_text)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text = self.configuration.replace("http://127.0.0.1:3007", self.webhook)
        for name, value in _TIMES.items():
            text = re.sub(rf"{name}: \w+", f"{name}: {value}", text)
        (self.folder / "alertmanager.yaml").write_text(text)
        (self.folder / "trigger-token").write_text(self.token)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    program("prometheus-alertmanager"),
                    f"--config.file={self.folder / 'alertmanager.yaml'}",
                    f"--storage.path={self.folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--cluster.listen-address=",
                ],
                stdout=log,
                stderr=log,
            )
        wait_for(self._ready)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(120)
            self.process = None

    def fire(self, *alerts: dict[str, str]) -> None:
        """Tell of alerts as Prometheus does."""
        answer = httpx.post(self._address, json=[{"labels": each} for each in alerts], timeout=_WITHIN_S)
        assert answer.is_success, answer.text

    def resolve(self, *alerts: dict[str, str]) -> None:
        """Tell that alerts have ended."""
        ended = [{"labels": each, "endsAt": "2026-01-01T00:00:00Z"} for each in alerts]
        answer = httpx.post(self._address, json=ended, timeout=_WITHIN_S)
        assert answer.is_success, answer.text

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that it has, silenced by others or not."""
        found: list[dict[str, Any]] = httpx.get(self._address, timeout=_WITHIN_S).json()
        return found

    @property
    def _address(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v2/alerts"

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/-/ready").is_success
        except httpx.TransportError:
            return False


def configuration() -> dict[str, Any]:
    """Alertmanager's configuration, read."""
    read: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    return read
