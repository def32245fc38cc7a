"""Killing: what, when and in which stage, drawn from a seed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from loadtests.chaos.site import Site
from loadtests.chaos.watching import Seen, Watch, look
from services.errors import DatabaseUnavailableError
from services.runtime.jobs.job import JobState

#: Seconds between two kills.
PAUSES_S: Final = (0.5, 3.0)
#: A worker dies at a random moment of a stage, up to so long after the stage was seen to run.
MOMENTS_S: Final = {JobState.TRANSCRIBING: 0.4, JobState.RECOGNIZING: 0.6, JobState.ENGRAVING: 0.1}
#: How long PostgreSQL stays away.
DATABASE_AWAY_S: Final = (1.0, 6.0)
#: A stage that has not been met for so long is given up.
_MEET_S: Final = 60.0
_TRY_EVERY_S: Final = 0.005
_AWAY_S: Final = 0.2
STAGES: Final = (
    ("amt", JobState.TRANSCRIBING),
    ("amt", JobState.ENGRAVING),
    ("omr", JobState.RECOGNIZING),
    ("omr", JobState.ENGRAVING),
)


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be killed.

    Attributes:
        what: `worker`, `database`, or a program of the stack.
        service, stage: of a worker, what it must be doing.
    """

    what: str
    service: str = ""
    stage: JobState | None = None

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.service} worker, {self.stage.value}" if self.stage is not None else self.what


@dataclass(frozen=True, slots=True)
class Kill:
    """A kill that was done.

    Attributes:
        target: what was to be killed.
        at: when, on the clock of `time.monotonic`.
        worker: the id of a killed worker.
        job: what it was doing.
        attempt: which attempt at that job it was.
    """

    target: Target
    at: float
    worker: str = ""
    job: str = ""
    attempt: int = 0


def plan(chance: random.Random, rounds: int, *, database: bool) -> list[Target]:
    """Draw the order of the kills: in each round a worker in every stage, and each of the other programs.

    The database is killed too where it has a server.
    """
    targets = []
    for _ in range(rounds):
        targets += [Target("worker", service, stage) for service, stage in STAGES]
        targets += [Target("amt"), Target("omr"), Target("triton")]
        targets += [Target("database")] if database else []
    chance.shuffle(targets)
    return targets


class Killer:
    """Carries a plan out."""

    def __init__(
        self,
        site: Site,
        watch: Watch,
        chance: random.Random,
        keep_busy: Callable[[str], None],
        tell: Callable[[Kill], None],
    ) -> None:
        """Prepare.

        Args:
            site: what is killed.
            watch: sees the jobs.
            chance: draws the moments.
            keep_busy: sees to it that a service has jobs to die in, however fast it is.
            tell: is told of each kill.
        """
        self._site = site
        self._watch = watch
        self._chance = chance
        self._keep_busy = keep_busy
        self._tell = tell

    def run(self, targets: list[Target]) -> tuple[list[Kill], list[Target]]:
        """Kill one after the other; gives what was done, and what could not be met."""
        done, missed = [], []
        for target in targets:
            time.sleep(self._chance.uniform(*PAUSES_S))
            self._site.bring_back()
            kill = self._kill(target)
            if kill is None:
                missed.append(target)
            else:
                done.append(kill)
                self._tell(kill)
        return done, missed

    def _kill(self, target: Target) -> Kill | None:
        if target.what == "worker":
            return self._kill_in_stage(target)
        if target.what == "database":
            at = time.monotonic()
            self._site.kill_database(self._chance.uniform(*DATABASE_AWAY_S))
            return Kill(target, at)
        deadline = time.monotonic() + _MEET_S
        while not self._site.kill_program(target.what):
            if time.monotonic() > deadline:
                return None
            time.sleep(0.1)
        return Kill(target, time.monotonic())

    def _kill_in_stage(self, target: Target) -> Kill | None:
        deadline = time.monotonic() + _MEET_S
        while time.monotonic() < deadline:
            self._keep_busy(target.service)
            met = self._met(target)
            if met is not None:
                job, seen = met
                time.sleep(self._chance.uniform(0.0, MOMENTS_S[seen.state]))
                # Still at it? Else the stage has ended meanwhile, and another is to be met.
                if self._site.kill_worker(seen.worker, partial(self._still_so, job, seen)):
                    return Kill(target, time.monotonic(), seen.worker, job, seen.attempts)
            time.sleep(_TRY_EVERY_S)
        return None

    def _met(self, target: Target) -> tuple[str, Seen] | None:
        """A job in the wanted stage whose workers have not been killed already: three times would end it."""
        found = [
            (job, seen)
            for job, seen in self._look().items()
            if seen.state == target.stage
            and seen.worker.startswith(f"{target.service}:")
            and seen.crashes == 0
        ]
        return self._chance.choice(found) if found else None

    def _still_so(self, job: str, seen: Seen) -> bool:
        return self._look().get(job) == seen

    def _look(self) -> dict[str, Seen]:
        try:
            return look(self._site.database)
        except DatabaseUnavailableError:
            time.sleep(_AWAY_S)
            return dict(self._watch.now())
