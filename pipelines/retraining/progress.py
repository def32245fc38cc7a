"""How a run is watched: on a terminal by one moving line a step, elsewhere by plain lines."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

from pipelines.retraining.plan import STEPS, Step
from pipelines.retraining.run import Run


class Progress:
    """Shows the steps of a run as they come and what they print; a context manager."""

    def __init__(self, run: Run, console: Console | None = None) -> None:
        self._run = run
        self._console = console or Console(stderr=True, highlight=False)
        self._status: Status | None = None
        self._step: Step | None = None
        self._began = 0.0

    def __enter__(self) -> Self:
        record = self._run.record
        self._print(f"run {self._run.id}: {record.model}, {record.reason}; folder {self._run.folder}")
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_step("failed" if kind else "done")
        if self._status is not None:
            self._status.stop()

    def watch(self, step: Step, line: str | None) -> None:
        """Take what a step says; None when it begins."""
        if line is None:
            self._end_step("done")
            self._step, self._began = step, time.monotonic()
            if self._status is None:
                self._print(f"{self._place(step)} {step.name} ...")
            line = "..."
        elif self._status is None:
            self._print(f"  {step.name}: {line}")
        if self._status is not None:
            self._status.update(f"[bold]{self._place(step)} {step.name}[/]  {line}")

    def _end_step(self, how: str) -> None:
        if self._step is not None:
            seconds = time.monotonic() - self._began
            self._print(f"{self._place(self._step)} {self._step.name} {how} in {seconds:.1f} s")
            self._step = None

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)

    @staticmethod
    def _place(step: Step) -> str:
        return f"[{STEPS.index(step) + 1}/{len(STEPS)}]"
