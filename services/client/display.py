"""How a batch is shown: bars on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from services.client.batch import Done, Step, Watcher
from services.client.pieces import Failure, Piece


class Display(Watcher, AbstractContextManager["Display"]):
    """Shows a batch; failures go to stderr, a line each, results to stdout."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._finished = 0
        self._started_s: dict[Piece, float] = {}

    def started(self, piece: Piece) -> None:
        """A piece's turn has come."""
        self._started_s[piece] = time.monotonic()

    def progressed(self, piece: Piece, step: Step) -> None:
        """Nothing to show on plain lines."""

    def done(self, piece: Piece, done: Done) -> None:
        """Tell what became of it, and where its files are written."""
        took_s = time.monotonic() - self._started_s.pop(piece)
        self._finished += 1
        counted = f"[{self._finished}/{self._total}]"
        print(f"{counted} {shown(piece.source)}: {done.summary} ({took_s:.1f} s)", flush=True)
        for path in done.written:
            print(f"    {shown(path)}", flush=True)

    def failed(self, failure: Failure) -> None:
        """Tell what failed, and why."""
        self._finished += 1
        print(failure_line(failure), file=sys.stderr, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to put away."""


class BarDisplay(Display):
    """The same with a bar for each piece under way and one for all of them, on stderr."""

    def __init__(self, total: int) -> None:
        super().__init__(total)
        self._bars = Progress(
            TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True)),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            # Printed lines must pass above the bars, unless they go somewhere else altogether.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._all = self._bars.add_task("all", total=total, state=f"0/{total}")
        self._tasks: dict[Path, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def started(self, piece: Piece) -> None:
        """A piece's turn has come."""
        super().started(piece)
        self._tasks[piece.source] = self._bars.add_task(
            escape(shown(piece.source)), total=None, state="sending"
        )

    def progressed(self, piece: Piece, step: Step) -> None:
        """Move the piece's bar."""
        task = self._tasks[piece.source]
        self._bars.update(task, completed=step.done, total=step.of, state=step.doing)

    def done(self, piece: Piece, done: Done) -> None:
        """Tell what became of it, and where its files are written."""
        super().done(piece, done)
        self._put_away(piece.source)

    def failed(self, failure: Failure) -> None:
        """Tell what failed, and why."""
        super().failed(failure)
        self._put_away(failure.source)

    def _put_away(self, source: Path) -> None:
        task = self._tasks.pop(source, None)
        if task is not None:
            self._bars.remove_task(task)
        self._bars.update(self._all, completed=self._finished, state=f"{self._finished}/{self._total}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()


def failure_line(failure: Failure) -> str:
    """One line on what failed; a message of several lines is drawn together."""
    return f"copyist: {shown(failure.source)}: {' '.join(failure.reason.split())}"


def shown(path: Path) -> str:
    """A path fit for a terminal."""
    return printable(str(path))


def printable(text: str) -> str:
    """A text fit for a terminal: what cannot be printed in it, or would steer the terminal, is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
