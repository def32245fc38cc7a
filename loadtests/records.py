"""What became of each request, and what that amounts to by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from loadtests.kinds import Kind

DONE: Final = "done"
#: An answer without a note, where there are some: in form it is one.
EMPTY: Final = "nothing found"
REFUSED: Final = "429"
NOT_SENT: Final = "not sent"
UNFINISHED: Final = "unfinished"


@dataclass(frozen=True, slots=True)
class Record:
    """One request.

    Attributes:
        kind: what it was.
        planned_s: when it was to be sent, in seconds from the start.
        late_s: how much later than planned it was sent.
        latency_s: from the planned time until its answer was whole; of a job, until its end was known.
        outcome: DONE, EMPTY, REFUSED, NOT_SENT, UNFINISHED (still under way when the test ended), or what
            went wrong, by the problem's slug or the exception's name.
        version: of the model that answered, where the answer names it.
    """

    kind: Kind
    planned_s: float
    late_s: float
    latency_s: float
    outcome: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Latencies:
    """Percentiles in seconds; NaN where there is nothing to take them of."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, values_s: Sequence[float]) -> Latencies:
        """Take them, each the smallest value that so many percent do not exceed."""
        if not values_s:
            return cls(*[float("nan")] * 3)
        return cls(*(float(p) for p in np.percentile(values_s, [50, 95, 99], method="inverted_cdf")))


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of the requests of one kind, or of several.

    Attributes:
        name: the kind's, or what is summed up.
        sent: requests sent, whatever became of them.
        done: answered well.
        per_second: of those done, over the length of the test.
        latency: of those done.
        refused: answered 429.
        refusal: the latencies of those.
        errors: others, by what went wrong.
        not_sent: planned, but as many were in flight as allowed.
    """

    name: str
    sent: int
    done: int
    per_second: float
    latency: Latencies
    refused: int
    refusal: Latencies
    errors: dict[str, int] = field(default_factory=dict)
    not_sent: int = 0


def summary(name: str, records: Iterable[Record], seconds: float) -> Summary:
    """Sum up records of a test of so many seconds."""
    by_outcome: dict[str, list[float]] = {}
    for record in records:
        by_outcome.setdefault(record.outcome, []).append(record.latency_s)
    done = by_outcome.pop(DONE, [])
    refused = by_outcome.pop(REFUSED, [])
    not_sent = len(by_outcome.pop(NOT_SENT, []))
    errors = Counter({outcome: len(each) for outcome, each in by_outcome.items()})
    return Summary(
        name=name,
        sent=len(done) + len(refused) + errors.total(),
        done=len(done),
        per_second=len(done) / seconds,
        latency=Latencies.of(done),
        refused=len(refused),
        refusal=Latencies.of(refused),
        errors=dict(errors),
        not_sent=not_sent,
    )


def summaries(records: Sequence[Record], seconds: float) -> list[Summary]:
    """One for each kind that came, and one for all."""
    kinds = sorted({record.kind for record in records})
    each = [summary(kind.name, (r for r in records if r.kind == kind), seconds) for kind in kinds]
    return [*each, summary("all", records, seconds)]
