"""What the trigger counts. Gauges are read from the database: any receiver tells of all requests."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client import Counter, Gauge

from services.trigger.alerts import Alert
from services.trigger.decisions import Decision, RequestState, RetrainingRequest, Verdict

#: What stands for the models of alerts that name none that is served.
_OTHER: Final = "other"

_REQUESTS: Final = Counter(
    "copyist_retraining_requests_total",
    "Alerts that were decided on, by what became of them.",
    ["model", "decision"],
)
_REFUSED: Final = Counter(
    "copyist_retraining_calls_refused_total", "Calls of the trigger that were refused, by status.", ["status"]
)
_START_FAILURES: Final = Counter(
    "copyist_retraining_start_failures_total", "Starts of retrainings that failed.", ["model"]
)
_RUNNING: Final = Gauge(
    "copyist_retraining_running", "Retrainings that were requested and have not ended.", ["model"]
)
_LAST_FAILED: Final = Gauge(
    "copyist_retraining_last_failed_timestamp_seconds",
    "When a triggered retraining of the model last failed; 0 for never.",
    ["model"],
)


def declare(models: Iterable[str]) -> None:
    """Begin at 0: a counter that first appears with a value would hide it from Prometheus' `increase`."""
    for model in models:
        _START_FAILURES.labels(model)
        _RUNNING.labels(model)
        _LAST_FAILED.labels(model)
        for decision in Decision:
            _REQUESTS.labels(model, decision.value)


def count(alerts: Sequence[Alert], verdicts: Sequence[Verdict], models: Iterable[str]) -> None:
    """Count what was decided on alerts."""
    known = set(models)
    for alert, verdict in zip(alerts, verdicts, strict=True):
        model = alert.model if alert.model in known else _OTHER
        _REQUESTS.labels(model, verdict.decision.value).inc()


def count_refused(status: int) -> None:
    """Count a call that was refused."""
    _REFUSED.labels(str(status)).inc()


def count_start_failure(model: str) -> None:
    """Count a start that failed."""
    _START_FAILURES.labels(model).inc()


def tell(requests: Sequence[RetrainingRequest], models: Iterable[str]) -> None:
    """Tell how the requests of all receivers are."""
    running = Counted(request.model for request in requests if not request.state.ended)
    for model in {*models, *(request.model for request in requests)}:
        failed = [
            request.ended_at.timestamp()
            for request in requests
            if request.model == model and request.state is RequestState.FAILED and request.ended_at
        ]
        _RUNNING.labels(model).set(running[model])
        _LAST_FAILED.labels(model).set(max(failed, default=0.0))
