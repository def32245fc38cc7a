"""What is counted of every finished piece of work, whichever service did it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import Counter, Histogram

from services.runtime import profiles
from services.runtime.metrics import SECONDS_BUCKETS
from services.runtime.profiles import Observation

_SIZE_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)

_SIZE = Histogram(
    "copyist_work_size",
    "Size of each finished piece of work: seconds of a recording, or pages.",
    ["model", "version"],
    buckets=_SIZE_BUCKETS,
)
_NOTES = Counter("copyist_notes_total", "Notes heard or read.", ["model", "version"])
_STAGE_SECONDS = Histogram(
    "copyist_stage_seconds",
    "Seconds that one stage of a piece of work took, over all of its pages.",
    ["model", "version", "stage"],
    buckets=SECONDS_BUCKETS,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished piece of work.

    Attributes:
        model, version: which model did it.
        size: seconds of a recording, or pages.
        notes: how many were found.
        timings_s: seconds that each stage took, by its name.
        observations: of the recording, or of each page.
    """

    model: str
    version: str
    size: float
    notes: int
    timings_s: Mapping[str, float]
    observations: Sequence[Observation]


def count(outcome: Outcome) -> None:
    """Count one finished piece of work."""
    of_model = outcome.model, outcome.version
    _SIZE.labels(*of_model).observe(outcome.size)
    _NOTES.labels(*of_model).inc(outcome.notes)
    for stage, seconds in outcome.timings_s.items():
        _STAGE_SECONDS.labels(*of_model, stage).observe(seconds)
    for observation in outcome.observations:
        profiles.count(*of_model, observation)
