"""Many pieces at once: getting them done, one that fails not keeping the others from it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from services.client.async_client import AsyncCopyist
from services.client.errors import UnreachableError
from services.client.jobs import Service
from services.client.pieces import Failure, Piece
from services.errors import CopyistError


@dataclass(frozen=True, slots=True)
class Step:
    """How far a piece is.

    Attributes:
        doing: a word on what is being done.
        done, of: how much of it; None where that cannot be told.
    """

    doing: str
    done: float = 0
    of: float | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a piece: a word on it, and the files written."""

    summary: str
    written: Sequence[Path] = ()


class Watcher(Protocol):
    """Who is told how a batch is getting on."""

    def started(self, piece: Piece) -> None:
        """A piece's turn has come."""

    def progressed(self, piece: Piece, step: Step) -> None:
        """It is further."""

    def done(self, piece: Piece, done: Done) -> None:
        """All of it is done."""

    def failed(self, failure: Failure) -> None:
        """It cannot be written down, or its files not written."""


#: Has one piece done, and tells how far it is.
Ask = Callable[[AsyncCopyist, Piece, Callable[[Step], None]], Awaitable[Done]]


async def write_down_all(
    client: AsyncCopyist, pieces: Sequence[Piece], ask: Ask, *, at_once: int, watcher: Watcher
) -> int:
    """Have pieces written down, several at a time; one that fails does not keep the others from it.

    Args:
        client: who asks the service.
        pieces: what to write down.
        ask: asks the service for one of them.
        at_once: how many are under way at the same time.
        watcher: is told everything.

    Returns:
        How many failed.
    """
    batch = _Batch(client, ask, watcher)
    waiting = iter(pieces)
    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(pieces))):
            group.create_task(batch.work(waiting))
    return batch.failed


@dataclass(slots=True)
class _Batch:
    """A batch under way.

    Attributes:
        failed: how many pieces failed so far.
        gone: services that cannot be reached any more, and why; the pieces left for them fail at once.
    """

    client: AsyncCopyist
    ask: Ask
    watcher: Watcher
    failed: int = 0
    gone: dict[Service, CopyistError] = field(default_factory=dict)

    async def work(self, waiting: Iterator[Piece]) -> None:
        """Write down what waits, one after another; several may do so at once."""
        for piece in waiting:
            if piece.service in self.gone:
                self._fail(piece, str(self.gone[piece.service]))
            else:
                await self._write_down(piece)

    async def _write_down(self, piece: Piece) -> None:
        self.watcher.started(piece)
        try:
            done = await self.ask(self.client, piece, lambda step: self.watcher.progressed(piece, step))
        except CopyistError as error:
            self._fail(piece, str(error))
            if isinstance(error, UnreachableError):
                await self._look_for(piece.service)
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            self._fail(piece, f"{error.strerror or error}{where}.")
        else:
            self.watcher.done(piece, done)

    def _fail(self, piece: Piece, reason: str) -> None:
        self.failed += 1
        self.watcher.failed(Failure(piece.source, reason))

    async def _look_for(self, service: Service) -> None:
        """Tell a service that is gone from one connection that broke."""
        try:
            await self.client.readiness(service)
        except UnreachableError as error:
            self.gone[service] = error
        except CopyistError:
            pass  # something answers
