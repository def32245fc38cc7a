"""What Prometheus is told of canary analysis."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter, Gauge

from services.operate.canary.decision import Decision, Plan, State, Step
from services.operate.canary.judgement import Judgement
from services.runtime.release.manifest import Canary

_STATE: Final = Gauge(
    "copyist_canary_state",
    "1 for how a canary does: starting, waiting (for samples), good or bad.",
    ["model", "version", "state"],
)
_SAMPLES: Final = Gauge(
    "copyist_canary_samples", "Samples of a canary at its present share.", ["model", "version"]
)
_NEEDED: Final = Gauge(
    "copyist_canary_samples_needed", "Samples that a canary needs at its present share.", ["model", "version"]
)
_WAITING: Final = Gauge(
    "copyist_canary_waiting_seconds",
    "For how long a canary has wanted for samples, its least time at its share not counted.",
    ["model", "version"],
)
_STEPS: Final = Counter(
    "copyist_canary_steps_total",
    "What was done to canaries: advance, promote, roll-back.",
    ["model", "step"],
)
_BREACHES: Final = Counter(
    "copyist_canary_breaches_total",
    "Canaries rolled back, by what they did badly: errors, latency, validity, content, not-ready.",
    ["model", "kind"],
)
_LOOKED: Final = Gauge(
    "copyist_canary_look_timestamp_seconds", "When the canaries were last looked at, with success."
)
_PROBLEMS: Final = Counter(
    "copyist_canary_look_problems_total", "Looks at the canaries that failed, by problem.", ["problem"]
)


class Told:
    """What is told of the canaries that there are; of those that ended nothing is."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: set[tuple[str, str]] = set()

    def canary(
        self, model: str, canary: Canary, judgement: Judgement, decision: Decision, now: datetime
    ) -> None:
        """Tell how one does."""
        of = model, canary.version.number
        self._known.add(of)
        for state in State:
            _STATE.labels(*of, state).set(state is decision.state)
        _SAMPLES.labels(*of).set(judgement.samples)
        _NEEDED.labels(*of).set(self._plan.samples)
        waiting = decision.state is State.WAITING
        over = now - canary.since - self._plan.soak if waiting else timedelta()
        _WAITING.labels(*of).set(max(over.total_seconds(), 0.0))

    def only(self, canaries: set[tuple[str, str]]) -> None:
        """Tell no more of others than these, models with versions."""
        for of in self._known - canaries:
            for state in State:
                _STATE.remove(*of, state)
            for gauge in (_SAMPLES, _NEEDED, _WAITING):
                gauge.remove(*of)
        self._known &= canaries


def taken(model: str, decision: Decision) -> None:
    """Count a step that was taken."""
    _STEPS.labels(model, decision.step).inc()
    if decision.step is Step.ROLL_BACK:
        for kind in decision.kinds:
            _BREACHES.labels(model, kind).inc()


def looked(now: datetime) -> None:
    """Tell when all was looked at."""
    _LOOKED.set(now.timestamp())


def failed(problem: str) -> None:
    """Count a look that failed."""
    _PROBLEMS.labels(problem).inc()
