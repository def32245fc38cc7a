"""Requests in the background, at random times, for as long as a scenario lasts; which version answered each.

A process of its own sends them (`loadtests.release.sender`, by Locust) and writes a line of JSON for each,
once it is known what became of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from services.local.processes import spawn
from services.triton.environment import REPOSITORY_ROOT

#: Short recordings, most of them over HTTP.
MIX: Final = "http/recording/short=2,grpc/recording/short=1"
_START_S: Final = 60.0
#: For the answers that are still to come.
_END_S: Final = 180.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A request.

    Attributes:
        kind: its name, such as `http/recording/short`.
        at: when it was to be sent, in seconds since the epoch.
        latency_s: from then until its answer was whole.
        outcome: as in loadtests.records.
        version: of the model that answered; empty where none did.
    """

    kind: str
    at: float
    latency_s: float
    outcome: str
    version: str

    @property
    def ended_at(self) -> float:
        """When its answer was whole, in seconds since the epoch."""
        return self.at + self.latency_s


class Traffic:
    """Requests for the length of a `with` block; those under way at its end are waited for.

    Args:
        http, grpc: where the services listen, by what is sent (`recording`, `page`), as Targets has it.
        rate_hz: requests a second.
        file: where their records lie.
        mix: how often each kind comes.
        seed: of the times.
    """

    def __init__(
        self,
        http: Mapping[str, str],
        grpc: Mapping[str, str],
        rate_hz: float,
        file: Path,
        *,
        mix: str = MIX,
        seed: int = 1,
    ) -> None:
        self._file = file
        targets = json.dumps({"http": dict(http), "grpc": dict(grpc)})
        self._command = [sys.executable, "-m", "loadtests.release.sender", targets, str(file)]
        self._command += ["--rate", str(rate_hz), "--mix", mix, "--seed", str(seed)]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start, and wait until the first requests may come."""
        self._file.unlink(missing_ok=True)
        variables = {**os.environ, "PYTHONPATH": str(REPOSITORY_ROOT)}
        self._process = spawn(self._command, variables, self._file.with_suffix(".log"), tied=True)
        deadline = time.monotonic() + _START_S
        while not self._file.exists():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.__exit__()
                raise RuntimeError(f"no traffic; see {self._file.with_suffix('.log')}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(_END_S)

    def sent(self) -> list[Sent]:
        """Read what is known by now, by the times at which requests were to be sent."""
        lines = self._file.read_text().splitlines(keepends=True)
        found = [Sent(**json.loads(line)) for line in lines if line.endswith("\n")]
        return sorted(found, key=lambda sent: sent.at)
