"""What the page service counts beyond its requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client import Counter, Histogram

from services.omr import profile
from services.omr.assembly.recognition import Recognition
from services.omr.look import PageLook
from services.runtime import profiles
from services.runtime.metrics import SECONDS_BUCKETS

_RECOGNITIONS = Counter("copyist_recognitions_total", "Pieces recognised.", ["model", "version"])
_PAGES = Counter(
    "copyist_recognised_pages_total",
    "Pages looked at, with staves and without.",
    ["model", "version", "staves"],
)
_NOTES = Counter("copyist_recognised_notes_total", "Noteheads read.", ["model", "version"])
_MEASURES = Counter(
    "copyist_recognised_measures_total",
    "Measures read, by whether their voices add up to the metre: quality that needs no labels.",
    ["model", "version", "adds_up"],
)
_STAGE_SECONDS = Histogram(
    "copyist_recognition_stage_seconds",
    "Seconds that one stage of a recognition took, over its pages.",
    ["model", "version", "stage"],
    buckets=SECONDS_BUCKETS,
)


def count(
    model: str,
    version: str,
    recognition: Recognition,
    looks: Sequence[PageLook],
    timings_s: Mapping[str, float],
) -> None:
    """Count one finished recognition; `looks` are those of its pages."""
    _RECOGNITIONS.labels(model, version).inc()
    _NOTES.labels(model, version).inc(len(recognition.notes))
    for look, page in zip(looks, recognition.pages, strict=True):
        profiles.count(model, version, profile.measure(look, page))
        _PAGES.labels(model, version, _yes(bool(page.systems))).inc()
        for system in page.systems:
            for measure in system.measures:
                _MEASURES.labels(model, version, _yes(measure.adds_up)).inc()
    for stage, seconds in timings_s.items():
        _STAGE_SECONDS.labels(model, version, stage).observe(seconds)


def _yes(truth: bool) -> str:
    return "yes" if truth else "no"
