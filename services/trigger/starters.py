"""What starts a retraining, and tells how it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from services.errors import TryAgainError
from services.trigger.decisions import RetrainingRequest


class StartError(TryAgainError):
    """A retraining could not be started, or not be looked at; a later try may succeed."""

    slug = "retraining-start"
    title = "The retraining cannot be started"


class RunPhase(StrEnum):
    """How far a run is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    #: It was never started, or has vanished without a word: it is to be started (again).
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class RunState:
    """How far a run is, and what it said last."""

    phase: RunPhase
    message: str = ""


class Starter(Protocol):
    """Starts runs by their request's id: the same id never runs twice at once, and goes on where it was."""

    def start(self, request: RetrainingRequest) -> None:
        """Start a run; nothing happens where it runs or has ended already.

        Raises:
            CopyistError: it could not be started.
        """
        ...

    def look(self, request: RetrainingRequest) -> RunState:
        """Tell how far a run is.

        Raises:
            CopyistError: that cannot be told now.
        """
        ...


def options(request: RetrainingRequest, budget: str) -> list[str]:
    """The options of `copyist retrain MODEL` for a request.

    Args:
        request: what is asked for; a run of its name that was begun goes on.
        budget: how much the run may do, as `copyist retrain --budget` knows it.
    """
    return ["--run", request.id, "--reason", request.reason, "--budget", budget]
