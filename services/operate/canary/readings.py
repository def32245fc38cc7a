"""Figures of versions, out of Prometheus.

Counters are read as they are, replica by replica, and their increases added up here: PromQL's `increase`
extrapolates, and misses what a counter already has when it first appears, which of few samples is much.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from services.operate.canary.decision import Readiness
from services.operate.canary.figures import CONTENT, Cases, Durations, Figures
from services.operate.prometheus import Prometheus, Series

#: Values of each counter that are asked for: what a restarted program counted is lost from the last one on.
_POINTS: Final = 60
_SHORTEST_STEP_S: Final = 1.0
#: Prometheus' times are whole milliseconds.
_ROUNDING_S: Final = 0.002
_ANSWERED: Final = "ok"
#: Nobody waited for it any more, or a model server did not have the version: no fault of the model.
_NOBODYS_FAULT: Final = frozenset({"cancelled", "version-missing"})

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
        """How far apart counters are read: the last time at the end."""
        length_s = (self.end - self.start).total_seconds()
        steps = min(max(int(length_s / _SHORTEST_STEP_S), 1), _POINTS)
        # Prometheus counts in milliseconds; rounded up, the last step would lie beyond the end.
        return timedelta(milliseconds=max(math.floor(1000 * length_s / steps), 1))


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
    refused = _why_refused(prometheus, of)
    series = prometheus.over(f"min(copyist_sync_ready{{{of}}})", span.start, span.end, span.step)
    points = series[0].points if series else ()
    if not points:
        return Readiness(ready=False, refused=refused)
    there = [at for at, value in points if value == 1]
    away = timedelta(seconds=points[-1][0] - (there[-1] if there else points[0][0]))
    first = datetime.fromtimestamp(there[0], UTC) if there else None
    return Readiness(points[-1][1] == 1, first, away, refused)


def _why_refused(prometheus: Prometheus, of: str) -> str:
    """Tell what has kept a version from being loaded, where a model server says that it cannot be."""
    if not prometheus.now(f"copyist_sync_failed{{{of}}} == 1"):
        return ""
    failures = prometheus.now(f"copyist_sync_failures_total{{{of}}} > 0")
    return ", ".join(sorted({each.labels["reason"] for each in failures})) or "for a reason that was not told"


def _selector(model: str, version: str) -> str:
    return f'model="{model}", version="{version}"'


def increases(found: Sequence[Series], span: Span, known: Callable[[Target], bool]) -> list[Increase]:
    """Tell by how much each of a target's counters rose; where one fell, all of them began again at 0.

    Args:
        found: their values over the span, of any number of targets.
        span: see there.
        known: whether Prometheus had a target's metrics at the start of the span: a counter that was not
            among them then began later, at 0.
    """
    restarts: dict[Target, set[float]] = defaultdict(set)
    for series in found:
        fell = {at for (_, before), (at, value) in pairwise(series.points) if value < before}
        restarts[_target(series)] |= fell
    told = []
    for series in found:
        (first_at, first), *_ = series.points
        there = first_at < span.start.timestamp() + _ROUNDING_S
        risen = 0.0 if there or not known(_target(series)) else first
        for (_, before), (at, value) in pairwise(series.points):
            risen += value if at in restarts[_target(series)] else value - before
        told.append((dict(series.labels), risen))
    return told


def _target(series: Series) -> Target:
    return series.labels.get("job"), series.labels.get("instance")


class _Reader:
    """Reads the increases of counters with certain labels over a span."""

    def __init__(self, prometheus: Prometheus, of: str, span: Span) -> None:
        self._prometheus, self._of, self._span = prometheus, of, span
        up = prometheus.now("up", span.start)
        self._up = {(each.labels.get("job"), each.labels.get("instance")): each.value == 1 for each in up}

    def read(self, name: str) -> list[Increase]:
        """Read the increase of every counter of this name, with its labels."""
        found = self._prometheus.over(
            f"{name}{{{self._of}}}", self._span.start, self._span.end, self._span.step
        )
        return increases(found, self._span, self._known)

    def _known(self, target: Target) -> bool:
        # A target that came later is known too; nothing is while Prometheus itself was away.
        return bool(self._up) and self._up.get(target, True)


def _calls(increases: Sequence[Increase]) -> Cases:
    counted = [each for each in increases if each[0]["outcome"] not in _NOBODYS_FAULT]
    answered = sum(calls for labels, calls in counted if labels["outcome"] == _ANSWERED)
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
