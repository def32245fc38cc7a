"""What follows from a judgement."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.operate.canary.decision import Decision, Plan, Readiness, State, Step, decide
from services.operate.canary.judgement import Finding, Judgement, Kind
from services.runtime.release.manifest import Canary, ModelVersion

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PLAN = Plan(samples=50, soak=timedelta(minutes=10), ready_within=timedelta(minutes=5))
CANARY = Canary(ModelVersion("2", 64 * "0"), 0.05, NOW - timedelta(minutes=20))
GOOD = Judgement(60, 1000, (Finding(Kind.ERRORS, "failed calls", 0.0, 0.0, breach=False),))
BAD = Judgement(
    9,
    1000,
    (
        Finding(Kind.ERRORS, "failed calls", 0.5, 0.001, breach=True),
        Finding(Kind.CONTENT, "pitch", 2.25, 0.4, breach=True),
        Finding(Kind.CONTENT, "confidence", 3.0, 0.4, breach=True),
    ),
)
FEW = replace(GOOD, samples=49)
READY = Readiness(ready=True)


def decided(
    canary: Canary = CANARY, judgement: Judgement = GOOD, readiness: Readiness = READY, plan: Plan = PLAN
) -> Decision:
    """Decide now."""
    return decide(canary, judgement, readiness, plan, NOW)


@pytest.mark.parametrize(
    ("share", "step", "next_share"),
    [
        (0.01, Step.ADVANCE, 0.05),
        (0.05, Step.ADVANCE, 0.25),
        (0.1, Step.ADVANCE, 0.25),
        (0.25, Step.ADVANCE, 1.0),
        (1.0, Step.PROMOTE, None),
    ],
)
def test_a_good_canary_takes_the_next_share_and_is_promoted_after_the_last(
    share: float, step: Step, next_share: float | None
) -> None:
    decision = decided(replace(CANARY, share=share))
    assert (decision.step, decision.share, decision.state) == (step, next_share, State.GOOD)
    assert "60 samples" in decision.why


@pytest.mark.parametrize("automatic", [True, False])
@pytest.mark.parametrize("share", [0.05, 1.0])
def test_a_bad_one_is_rolled_back_at_once_however_few_the_samples(share: float, *, automatic: bool) -> None:
    canary = replace(CANARY, share=share, automatic=automatic, since=NOW - timedelta(seconds=5))
    assert decided(canary, BAD) == Decision(
        Step.ROLL_BACK,
        State.BAD,
        "failed calls 50.0%, with the stable version 0.1%; "
        "pitch: PSI against the stable version 2.25, limit 0.40; "
        "confidence: PSI against the stable version 3.00, limit 0.40; 9 samples",
        kinds=(Kind.ERRORS, Kind.CONTENT),
    )


def test_a_good_one_that_is_held_stays() -> None:
    decision = decided(replace(CANARY, automatic=False))
    assert (decision.step, decision.state) == (Step.STAY, State.GOOD)
    assert "not automatic" in decision.why


@pytest.mark.parametrize(
    ("canary", "judgement", "readiness", "state", "why"),
    [
        (CANARY, FEW, READY, State.WAITING, "49 samples of it, 1000 of the stable version; 50 of each"),
        (CANARY, replace(GOOD, stable_samples=3), READY, State.WAITING, "3 of the stable version"),
        (CANARY, Judgement(0, 0, ()), READY, State.WAITING, "0 samples of it"),
        (
            replace(CANARY, since=NOW - timedelta(minutes=9)),
            GOOD,
            READY,
            State.GOOD,
            "60 s more at this share",
        ),
        (CANARY, GOOD, Readiness(ready=False), State.STARTING, "not ready"),
        (CANARY, GOOD, Readiness(ready=False, away=timedelta(minutes=4)), State.STARTING, "not ready"),
    ],
)
def test_without_enough_to_tell_it_stays_however_long(
    canary: Canary, judgement: Judgement, readiness: Readiness, state: State, why: str
) -> None:
    decision = decided(canary, judgement, readiness)
    assert (decision.step, decision.state) == (Step.STAY, state)
    assert why in decision.why


@pytest.mark.parametrize(
    ("readiness", "why"),
    [
        (
            Readiness(ready=False, away=timedelta(minutes=5)),
            "not every model server has had it ready for 300 s",
        ),
        (Readiness(ready=False, refused="damaged"), "it cannot be loaded: damaged"),
    ],
)
def test_one_that_does_not_become_ready_is_rolled_back(readiness: Readiness, why: str) -> None:
    decision = decided(judgement=Judgement(0, 1000, ()), readiness=readiness)
    assert (decision.step, decision.kinds, decision.why) == (Step.ROLL_BACK, (Kind.NOT_READY,), why)
