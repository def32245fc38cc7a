"""Requests for retrainings in the database, and what was decided on alerts."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from services.runtime.database import Database, UtcTime
from services.trigger.alerts import Alert
from services.trigger.decisions import (
    Decision,
    Policy,
    RequestState,
    RetrainingRequest,
    Verdict,
    decide,
)

#: Of our own choosing: whoever decides on PostgreSQL holds this advisory lock.
_LOCK: Final = 0x434F5254
#: Decisions on alerts that have not come for so long are forgotten.
_KEPT: Final = timedelta(days=90)

_METADATA: Final = sa.MetaData()
_REQUESTS: Final = sa.Table(
    "retraining_requests",
    _METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("version", sa.String(200), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("requested_at", UtcTime, nullable=False),
    sa.Column("due_at", UtcTime, nullable=False),
    sa.Column("started_at", UtcTime),
    sa.Column("ended_at", UtcTime),
)
_DECISIONS: Final = sa.Table(
    "retraining_decisions",
    _METADATA,
    sa.Column("fingerprint", sa.String(200), primary_key=True),
    sa.Column("decision", sa.String(24), primary_key=True),
    sa.Column("alert", sa.Text, nullable=False),
    sa.Column("model", sa.String(200), nullable=False),
    sa.Column("version", sa.String(200), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("request_id", sa.String(32)),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Column("first_at", UtcTime, nullable=False),
    sa.Column("last_at", UtcTime, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """What was decided on an alert, and how often: Alertmanager repeats what goes on firing.

    Attributes:
        alert: what it said.
        model, version: of what; empty where it did not say.
        decision: what became of it, with the last `reason`.
        request_id: of which request the reason speaks; None for none.
        times: how often it was decided so.
        first_at, last_at: when, in UTC.
    """

    alert: str
    model: str
    version: str
    decision: Decision
    reason: str
    request_id: str | None
    times: int
    first_at: datetime
    last_at: datetime


class RequestStore:
    """The requests of all receivers; synchronous, for any number of threads.

    All methods raise DatabaseUnavailableError when the database does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def decide(self, alerts: Sequence[Alert], policy: Policy) -> list[Verdict]:
        """Decide on alerts, and make the requests that follow, all in one transaction that waits for others.

        However many receivers there are and however often Alertmanager calls, a request is made once.
        """
        verdicts = []
        now = datetime.now(UTC)
        with self._database.begin() as connection:
            if not self._database.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            requests = _all(connection)
            for alert in alerts:
                verdict = decide(alert, requests, policy, now)
                if verdict.decision is Decision.STARTED:
                    request = _requested(alert, now)
                    connection.execute(sa.insert(_REQUESTS).values(**_row(request)))
                    requests.append(request)
                    verdict = Verdict(verdict.decision, verdict.reason, request.id)
                connection.execute(self._recorded(alert, verdict, now))
                verdicts.append(verdict)
            connection.execute(sa.delete(_DECISIONS).where(_DECISIONS.c.last_at < now - _KEPT))
        return verdicts

    def _recorded(self, alert: Alert, verdict: Verdict, now: datetime) -> sa.Executable:
        insert = sqlite.insert if self._database.is_sqlite else postgresql.insert
        latest = {"reason": verdict.reason, "request_id": verdict.request_id, "last_at": now}
        return (
            insert(_DECISIONS)
            .values(
                fingerprint=alert.fingerprint,
                decision=verdict.decision.value,
                alert=alert.told(),
                model=alert.model,
                version=alert.version,
                times=1,
                first_at=now,
                **latest,
            )
            .on_conflict_do_update(
                index_elements=["fingerprint", "decision"],
                set_={**latest, "times": _DECISIONS.c.times + 1},
            )
        )

    def requests(self) -> list[RetrainingRequest]:
        """Give all requests, the newest first."""
        with self._database.read() as connection:
            return _all(connection)[::-1]

    def decisions(self) -> list[DecisionRecord]:
        """Give what was decided, the latest first."""
        latest_first = sa.select(_DECISIONS).order_by(_DECISIONS.c.last_at.desc(), _DECISIONS.c.fingerprint)
        with self._database.read() as connection:
            rows = connection.execute(latest_first).mappings().all()
        told = [{key: value for key, value in row.items() if key != "fingerprint"} for row in rows]
        return [DecisionRecord(**{**row, "decision": Decision(row["decision"])}) for row in told]

    def claim(self, request: RetrainingRequest, lease: timedelta) -> bool:
        """Take a due request for starting it; False when another has taken it.

        Who took it and says nothing for the time of the lease has lost it.
        """
        now = datetime.now(UTC)
        values = {"due_at": now + lease, "attempts": _REQUESTS.c.attempts + 1}
        return self._change(request, values, _REQUESTS.c.due_at <= now)

    def started(self, request: RetrainingRequest) -> bool:
        """Write down that it runs; False where another was first."""
        running = {"state": RequestState.RUNNING.value, "started_at": datetime.now(UTC), "message": ""}
        return self._change(request, running)

    def put_off(self, request: RetrainingRequest, why: str, wait: timedelta) -> bool:
        """Write down that it does not run, and when its start is to be tried (again)."""
        due_at = datetime.now(UTC) + wait
        waiting = {"state": RequestState.REQUESTED.value, "due_at": due_at, "message": why}
        return self._change(request, waiting)

    def ended(self, request: RetrainingRequest, state: RequestState, message: str) -> bool:
        """Write down that it has ended, and how; False where another was first."""
        return self._change(
            request, {"state": state.value, "ended_at": datetime.now(UTC), "message": message}
        )

    def _change(
        self, request: RetrainingRequest, values: Mapping[str, Any], *conditions: sa.ColumnElement[bool]
    ) -> bool:
        """Change a request, if its state still is as it was read."""
        change = (
            sa.update(_REQUESTS)
            .where(_REQUESTS.c.id == request.id, _REQUESTS.c.state == request.state.value, *conditions)
            .values(**values)
        )
        with self._database.begin() as connection:
            return bool(connection.execute(change).rowcount)


def _requested(alert: Alert, now: datetime) -> RetrainingRequest:
    return RetrainingRequest(
        id=uuid.uuid4().hex,
        model=alert.model,
        version=alert.version,
        reason=alert.told(),
        state=RequestState.REQUESTED,
        attempts=0,
        message="",
        requested_at=now,
        due_at=now,
        started_at=None,
        ended_at=None,
    )


def _all(connection: sa.Connection) -> list[RetrainingRequest]:
    oldest_first = sa.select(_REQUESTS).order_by(_REQUESTS.c.requested_at, _REQUESTS.c.id)
    rows = connection.execute(oldest_first).mappings()
    return [RetrainingRequest(**{**row, "state": RequestState(row["state"])}) for row in rows]


def _row(request: RetrainingRequest) -> dict[str, Any]:
    return {column.name: getattr(request, column.name) for column in _REQUESTS.columns} | {
        "state": request.state.value
    }
