"""Whether an alert starts a retraining: the rules, without any database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from services.runtime.settings import Settings
from services.trigger.alerts import Alert

_MONTH: Final = timedelta(days=30)


class Decision(StrEnum):
    """What becomes of an alert."""

    STARTED = "started"
    ALREADY_DONE = "already-done"
    UNDER_WAY = "under-way"
    COOLING_DOWN = "cooling-down"
    OVER_BUDGET = "over-budget"
    RESOLVED = "resolved"
    NOT_FOR_RETRAINING = "not-for-retraining"


class RequestState(StrEnum):
    """How far a request for a retraining is."""

    REQUESTED = "requested"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether it stays so."""
        return self in (RequestState.SUCCEEDED, RequestState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainingRequest:
    """A retraining that was asked for. Times are in UTC.

    Attributes:
        id: 32 hex digits; the run's own name, too.
        model: which model.
        version: whose reference it has drifted from; there is one request for each.
        reason: the alert that asked first.
        state: how far it is.
        attempts: how often its start was tried.
        message: the outcome, or why the last start failed; may be empty.
        requested_at: when it was asked for.
        due_at: before when no start is tried (again).
        started_at: when it was last started; None before.
        ended_at: when its end was seen; None before.
    """

    id: str
    model: str
    version: str
    reason: str
    state: RequestState
    attempts: int
    message: str
    requested_at: datetime
    due_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, why, and the request that it speaks of (None where there is none)."""

    decision: Decision
    reason: str
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How often retrainings are started.

    Attributes:
        models: which models can be retrained.
        cooldown: how long after a retraining of a model (its request, or its end) no other is started.
        per_month: how many are started within 30 days, of all models together.
    """

    models: Collection[str]
    cooldown: timedelta
    per_month: int

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """The policy that an operator has set, for the models of the repository."""
        return cls(
            models=frozenset(card.parent.name for card in settings.model_repository.glob("*/card.json")),
            cooldown=timedelta(hours=settings.retrain_cooldown_h),
            per_month=settings.retrain_per_month,
        )


def decide(alert: Alert, requests: Sequence[RetrainingRequest], policy: Policy, now: datetime) -> Verdict:
    """Decide on an alert; STARTED is for the caller to make true.

    Args:
        alert: what Alertmanager tells.
        requests: all that there ever were.
        policy: how often is often enough.
        now: in UTC.
    """
    refusal = _not_for_retraining(alert, policy)
    if refusal:
        return Verdict(Decision.NOT_FOR_RETRAINING, refusal)
    if not alert.firing:
        return Verdict(Decision.RESOLVED, "The alert is resolved; what was started goes on.")
    of_model = [request for request in requests if request.model == alert.model]
    for request in of_model:
        if request.version == alert.version:
            return Verdict(
                Decision.ALREADY_DONE,
                f"For version {alert.version} of {alert.model} a retraining was requested "
                f"{_moment(request.requested_at)}: {request.state}.",
                request.id,
            )
    return _limited(alert, of_model, requests, policy, now) or Verdict(Decision.STARTED, alert.told())


def _not_for_retraining(alert: Alert, policy: Policy) -> str:
    if not alert.asks_for_retraining:
        return "The alert does not ask for a retraining."
    if not alert.version or alert.model not in policy.models:
        return "The alert names no model that is served here, or no version of it."
    return ""


def _limited(
    alert: Alert,
    of_model: Sequence[RetrainingRequest],
    requests: Sequence[RetrainingRequest],
    policy: Policy,
    now: datetime,
) -> Verdict | None:
    """Refuse what would come too soon or too often."""
    for request in of_model:
        if not request.state.ended:
            return Verdict(
                Decision.UNDER_WAY,
                f"A retraining of {alert.model} for version {request.version} is under way.",
                request.id,
            )
        until = max(request.requested_at, request.ended_at or request.requested_at) + policy.cooldown
        if now < until:
            return Verdict(
                Decision.COOLING_DOWN,
                f"After the last retraining of {alert.model} none is started before {_moment(until)}.",
                request.id,
            )
    lately = sorted(each.requested_at for each in requests if each.requested_at > now - _MONTH)
    if len(lately) >= policy.per_month:
        free = lately[-policy.per_month] + _MONTH
        return Verdict(
            Decision.OVER_BUDGET,
            f"Within 30 days {len(lately)} retrainings were started, which is the limit "
            f"(COPYIST_RETRAIN_PER_MONTH); the next may be {_moment(free)}.",
        )
    return None


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%MZ")
