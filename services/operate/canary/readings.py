"""Figures of versions, out of Prometheus.

Counters are read as they are, replica by replica, and their increases added up here: PromQL's `increase`
extrapolates, and misses what a counter already has when it first appears, which of few samples is much.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from services.operate.canary.decision import Readiness
from services.operate.canary.figures import CONTENT, Cases, Durations, Figures
from services.operate.prometheus import Prometheus, Series

#: Values of each counter that are asked for: what a restarted program counted is lost from the last one on.
_POINTS: Final = 60
_SHORTEST_STEP_S: Final = 5.0
#: Of why a version cannot be loaded, what will not pass by itself.
_REFUSED: Final = "load|warm-up|crash|damaged"
_ANSWERED: Final = "ok"
#: Nobody waited for it any more: no fault of the model.
_CANCELLED: Final = "cancelled"

#: A counter's labels, and by how much it rose.
Increase = tuple[dict[str, str], float]
#: A target's job and instance.
Target = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Span:
    """A time that figures are of."""

    start: datetime
    end: datetime

    @property
    def step(self) -> timedelta:
        """How far apart counters are read."""
        return timedelta(seconds=max(_SHORTEST_STEP_S, (self.end - self.start).total_seconds() / _POINTS))


def read_figures(prometheus: Prometheus, model: str, version: str, span: Span) -> Figures:
    """Read what one version of a model did.

    Raises:
        PrometheusError: it cannot be reached.
    """
    of = _selector(model, version)
    reader = _Reader(prometheus, of, span)
    features = _bins(reader.read("copyist_profile_mass_total"))
    shares = prometheus.now(f"max by (feature, bin) (copyist_reference_share{{{of}}})")
    sizes = prometheus.now(f"max(copyist_reference_size{{{of}}})")
    return Figures(
        version=version,
        # Of some features some observations have none, such as the pitch of a recording without notes.
        observations=max(map(sum, features.values()), default=0.0),
        calls=_calls(reader.read("copyist_model_calls_total")),
        durations=_durations(
            reader.read("copyist_model_call_seconds_bucket"), reader.read("copyist_model_call_seconds_sum")
        ),
        checks=_checks(reader.read("copyist_checks_total")),
        features={name: mass for name, mass in features.items() if name in CONTENT},
        reference=_bins([(dict(each.labels), each.value) for each in shares]),
        reference_size=sizes[0].value if sizes else 0.0,
    )


def read_readiness(prometheus: Prometheus, model: str, version: str, span: Span) -> Readiness:
    """Read whether every model server has had a version ready, and since when one has not.

    Where Prometheus knows of no model server that should have it, it is not ready, but not away either.

    Raises:
        PrometheusError: it cannot be reached.
    """
    of = _selector(model, version)
    failures = _Reader(prometheus, of, span).read("copyist_sync_failures_total", f'reason=~"{_REFUSED}"')
    refused = sorted({labels["reason"] for labels, number in failures if number > 0})
    series = prometheus.over(f"min(copyist_sync_ready{{{of}}})", span.start, span.end, span.step)
    points = series[0].points if series else ()
    if not points:
        return Readiness(ready=False, refused=", ".join(refused))
    last_ready = max((at for at, value in points if value == 1), default=points[0][0])
    away = timedelta(seconds=max(points[-1][0] - last_ready, 0.0))
    return Readiness(ready=points[-1][1] == 1, away=away, refused=", ".join(refused))


def _selector(model: str, version: str) -> str:
    return f'model="{model}", version="{version}"'


def increase(series: Series, span: Span, known: Callable[[Target], bool]) -> float:
    """Tell by how much a counter rose; where it fell, its program began again at 0.

    Args:
        series: its values over the span.
        span: see there.
        known: whether Prometheus had this target's metrics at the start of the span: a counter that was
            not among them then began later, at 0.
    """
    values = [value for _, value in series.points]
    there = series.points[0][0] <= span.start.timestamp()
    began_at_0 = not there and known((series.labels.get("job"), series.labels.get("instance")))
    before = 0.0 if began_at_0 else values[0]
    risen = 0.0
    for value in values:
        risen += value - before if value >= before else value
        before = value
    return risen


class _Reader:
    """Reads the increases of counters with certain labels over a span."""

    def __init__(self, prometheus: Prometheus, of: str, span: Span) -> None:
        self._prometheus, self._of, self._span = prometheus, of, span
        up = prometheus.now("up", span.start)
        self._up = {(each.labels.get("job"), each.labels.get("instance")): each.value == 1 for each in up}

    def read(self, name: str, more: str = "") -> list[Increase]:
        """Read the increase of every counter of this name, with its labels."""
        selector = f"{name}{{{', '.join(filter(None, (self._of, more)))}}}"
        found = self._prometheus.over(selector, self._span.start, self._span.end, self._span.step)
        return [(dict(each.labels), increase(each, self._span, self._known)) for each in found]

    def _known(self, target: Target) -> bool:
        # A target that came later is known too; nothing is while Prometheus itself was away.
        return bool(self._up) and self._up.get(target, True)


def _calls(increases: Sequence[Increase]) -> Cases:
    counted = [(labels["outcome"], calls) for labels, calls in increases if labels["outcome"] != _CANCELLED]
    answered = sum(calls for outcome, calls in counted if outcome == _ANSWERED)
    return Cases(answered, sum(calls for _, calls in counted))


def _durations(buckets: Sequence[Increase], sums: Sequence[Increase]) -> Durations:
    up_to: dict[float, float] = defaultdict(float)
    for labels, calls in buckets:
        up_to[float(labels["le"])] += calls
    if not up_to:
        return Durations()
    edges = sorted(up_to)
    # Counters of one histogram may be read in two scrapes: then a bucket may seem to have lost calls.
    counts = [max(up_to[edge] - up_to.get(below, 0.0), 0.0) for below, edge in pairwise((-1.0, *edges))]
    return Durations(tuple(edges[:-1]), tuple(counts), sum(seconds for _, seconds in sums))


def _checks(increases: Sequence[Increase]) -> dict[str, Cases]:
    cases: dict[str, Cases] = defaultdict(lambda: Cases(0.0, 0.0))
    for labels, number in increases:
        before = cases[labels["check"]]
        passed = number if labels["passed"] == "yes" else 0.0
        cases[labels["check"]] = Cases(before.good + passed, before.all + number)
    return dict(cases)


def _bins(increases: Sequence[Increase]) -> dict[str, tuple[float, ...]]:
    """Add up the masses of each feature, in the order of its bins."""
    by_feature: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for labels, mass in increases:
        by_feature[labels["feature"]][int(labels["bin"])] += mass
    return {name: tuple(bins[number] for number in sorted(bins)) for name, bins in by_feature.items()}
