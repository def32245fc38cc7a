"""The place of a release test: the real stack, its model sync, Prometheus, and a release watch in a hurry."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from loadtests.chaos.site import environment
from loadtests.release.traffic import Traffic
from services.local.options import StackOptions, private
from services.local.processes import spawn
from services.local.stack import LocalStack, Report
from services.operate.prometheus import Prometheus
from services.runtime.release import steps
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import ReleaseBoard, open_board
from services.runtime.release.manifest import Manifest, ModelRelease, ModelVersion
from services.triton.environment import REPOSITORY_ROOT
from tests.releasing import publish_made
from tests.spoiled_models import Maker

#: What a test needs: recordings alone are sent, and nobody is told of alerts.
PROGRAMS: Final = ("triton", "amt", "sync", "prometheus")
#: A watch that decides on few samples, so that a test takes minutes.
HURRY: Final = ("--samples", "20", "--soak-s", "20", "--ready-within-s", "240", "--interval-s", "2")
_COMMAND_S: Final = 180.0
#: Not so soon a refusal for want of room: that is no release's doing.
_ROOM: Final = {"COPYIST_MAX_TRANSCRIPTIONS": "32"}


@dataclass
class Site:
    """A running stack of its own, and its release watch.

    Attributes:
        folder: for everything that is written.
        report: is told, line by line, what happens.
        programs: of the stack.
        watch: options of the release watch.
    """

    folder: Path
    report: Report
    programs: tuple[str, ...] = PROGRAMS
    watch: Sequence[str] = HURRY
    stack: LocalStack = field(init=False)
    _open: ExitStack = field(default_factory=ExitStack)
    _watching: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start everything."""
        options = replace(private(self.folder / "run"), programs=self.programs)
        try:
            self._open.enter_context(environment(_ROOM))
            self.stack = self._open.enter_context(LocalStack(options, report=self.report))
            self._open.callback(self.stop_watch)
            self.start_watch()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self._open.close()

    @property
    def options(self) -> StackOptions:
        """Where the stack runs."""
        return self.stack.options

    @property
    def prometheus(self) -> Prometheus:
        """What has the figures."""
        return Prometheus(f"http://{self.options.host}:{self.options.prometheus_port}")

    @property
    def board(self) -> ReleaseBoard:
        """Where the release manifest is kept."""
        return open_board(self.options.release_url)

    @property
    def artefacts(self) -> Artefacts:
        """The versions that there are."""
        return Artefacts(self.options.models_url, self.options.model_repository)

    def release(self, model: str) -> ModelRelease | None:
        """What serves of a model; None where it serves as shipped."""
        return self.board.read().models.get(model)

    def publish(self, model: str, make: Maker) -> ModelVersion:
        """Publish what a maker makes of the shipped version, with its card."""
        return publish_made(self.options, model, make)

    def canary(self, model: str, version: ModelVersion, share: float, *, automatic: bool = True) -> Manifest:
        """Put a version on trial."""
        shipped = self.artefacts.shipped(model)

        def step(manifest: Manifest) -> Manifest:
            return steps.start_canary(
                manifest, model, version, share, shipped=shipped, by="a test", automatic=automatic
            )

        return steps.apply(self.board, step)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `copyist` command, as somebody would by hand."""
        return subprocess.run(
            self._copyist(*arguments),
            cwd=REPOSITORY_ROOT,
            env=self._variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_S,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a `copyist` command, without waiting for its end."""
        return subprocess.Popen(
            self._copyist(*arguments),
            cwd=REPOSITORY_ROOT,
            env=self._variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start_watch(self) -> None:
        """Start the release watch, or start it again."""
        prometheus = f"http://{self.options.host}:{self.options.prometheus_port}"
        command = self._copyist("release", "watch", "--prometheus", prometheus, *self.watch)
        self._watching = spawn(command, self._variables, self.folder / "release-watch.log", tied=True)

    def stop_watch(self) -> None:
        """Stop it."""
        if self._watching is not None:
            self._watching.terminate()
            self._watching.wait(_COMMAND_S)
            self._watching = None

    @contextmanager
    def traffic(self, rate_hz: float, *, seed: int = 1) -> Iterator[Traffic]:
        """Send short recordings for the length of the block."""
        options = self.options
        http = {"recording": self.stack.http_url, "page": self.stack.omr_http_url}
        grpc = {"recording": self.stack.grpc_url, "page": self.stack.omr_grpc_url}
        file = self.folder / f"traffic-{options.amt_http_port}-{seed}.jsonl"
        with Traffic(http, grpc, rate_hz, file, seed=seed) as running:
            yield running

    def wait_for(self, what: str, condition: Callable[[], bool], limit_s: float) -> float:
        """Wait until something is so.

        Returns:
            How long that took, in seconds.

        Raises:
            TimeoutError: it was not so within the limit.
        """
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > limit_s:
                raise TimeoutError(f"{what}: not within {limit_s:.0f} s")
            time.sleep(0.1)
        return time.monotonic() - began

    def in_force(self) -> bool:
        """Tell whether the newest manifest is wholly in force on Triton, by Prometheus' figures."""
        revision = self.board.read().revision
        found = self.prometheus.now("min(copyist_sync_revision)")
        return bool(found) and found[0].value >= revision

    @property
    def _variables(self) -> dict[str, str]:
        return {**os.environ, **self.options.variables, "PYTHONPATH": str(REPOSITORY_ROOT)}

    @staticmethod
    def _copyist(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "services.client.cli", *arguments]
