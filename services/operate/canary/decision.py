"""What to do with a canary: stay, give it a larger share, promote it, or roll it back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.operate.canary.judgement import Judgement, Kind
from services.runtime.release.manifest import Canary


@dataclass(frozen=True, slots=True)
class Plan:
    """How canaries advance.

    Attributes:
        shares: of the requests, rising, each above 0 and at most 1; after the last one comes promotion.
        samples: of the canary, and of the stable version, that are needed at each share.
        soak: the least time at each share.
        ready_within: how long a canary may take to become ready, or be away.
    """

    shares: tuple[float, ...] = (0.05, 0.25, 1.0)
    samples: int = 100
    soak: timedelta = timedelta(minutes=10)
    ready_within: timedelta = timedelta(minutes=10)

    def after(self, share: float) -> float | None:
        """Give the share that follows this one; None where promotion does."""
        return next((larger for larger in self.shares if larger > share), None)


class Step(StrEnum):
    """What is done."""

    STAY = "stay"
    ADVANCE = "advance"
    PROMOTE = "promote"
    ROLL_BACK = "roll-back"


class State(StrEnum):
    """How a canary does."""

    STARTING = "starting"
    WAITING = "waiting"
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why.

    Attributes:
        step: what.
        state: how the canary does.
        why: for people; of a canary that stays, what it waits for.
        share: the next one, of ADVANCE.
        kinds: in what it does badly, of ROLL_BACK.
    """

    step: Step
    state: State
    why: str
    share: float | None = None
    kinds: tuple[Kind, ...] = ()


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a canary serves.

    Attributes:
        ready: whether every model server has it ready.
        first: when all had it first, in the time that was looked at; None where they never had.
        away: for how long one has not had it, as far as is known.
        refused: why it can never be ready; empty where nothing says so.
    """

    ready: bool
    first: datetime | None = None
    away: timedelta = timedelta()
    refused: str = ""


def decide(canary: Canary, judgement: Judgement, readiness: Readiness, plan: Plan, now: datetime) -> Decision:
    """Decide about a canary by what it did since it took its present share."""
    return (
        _bad(judgement, readiness, plan)
        or _undecided(canary, judgement, readiness, plan, now)
        or _good(canary, judgement, plan)
    )


def _bad(judgement: Judgement, readiness: Readiness, plan: Plan) -> Decision | None:
    if judgement.breaches:
        why = f"{'; '.join(map(str, judgement.breaches))}; {judgement.samples:.0f} samples"
        kinds = tuple(dict.fromkeys(finding.kind for finding in judgement.breaches))
    elif readiness.refused:
        why, kinds = f"it cannot be loaded: {readiness.refused}", (Kind.NOT_READY,)
    elif not readiness.ready and readiness.away >= plan.ready_within:
        why = f"not every model server has had it ready for {readiness.away.total_seconds():.0f} s"
        kinds = (Kind.NOT_READY,)
    else:
        return None
    return Decision(Step.ROLL_BACK, State.BAD, why, kinds=kinds)


def _undecided(
    canary: Canary, judgement: Judgement, readiness: Readiness, plan: Plan, now: datetime
) -> Decision | None:
    left = plan.soak - (now - canary.since)
    if not readiness.ready:
        state, why = State.STARTING, "it is not ready yet"
    elif not judgement.enough(plan.samples):
        state = State.WAITING
        why = (
            f"{judgement.samples:.0f} samples of it, {judgement.stable_samples:.0f} of the stable version; "
            f"{plan.samples} of each are needed"
        )
    elif left.total_seconds() > 0:
        state, why = State.GOOD, f"{left.total_seconds():.0f} s more at this share"
    else:
        return None
    return Decision(Step.STAY, state, why)


def _good(canary: Canary, judgement: Judgement, plan: Plan) -> Decision:
    why = f"no worse than the stable version in {judgement.samples:.0f} samples at {canary.share:.0%}"
    if not canary.automatic:
        return Decision(Step.STAY, State.GOOD, f"{why}; it is not automatic")
    share = plan.after(canary.share)
    if share is None:
        return Decision(Step.PROMOTE, State.GOOD, why)
    return Decision(Step.ADVANCE, State.GOOD, why, share=share)
