"""What the audio service counts beyond its requests."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter, Histogram

from services.runtime import profiles
from services.runtime.metrics import SECONDS_BUCKETS
from services.runtime.profiles import Profile

_TRANSCRIPTIONS = Counter("copyist_transcriptions_total", "Recordings transcribed.", ["model", "version"])
_AUDIO_SECONDS = Counter(
    "copyist_transcribed_audio_seconds_total", "Seconds of audio transcribed.", ["model", "version"]
)
_NOTES = Counter("copyist_transcribed_notes_total", "Notes found.", ["model", "version"])
_STAGE_SECONDS = Histogram(
    "copyist_transcription_stage_seconds",
    "Seconds that one stage of a transcription took.",
    ["model", "version", "stage"],
    buckets=SECONDS_BUCKETS,
)


def count(
    model: str, version: str, duration_s: float, notes: int, timings_s: Mapping[str, float], profile: Profile
) -> None:
    """Count one finished transcription."""
    _TRANSCRIPTIONS.labels(model, version).inc()
    _AUDIO_SECONDS.labels(model, version).inc(duration_s)
    _NOTES.labels(model, version).inc(notes)
    for stage, seconds in timings_s.items():
        _STAGE_SECONDS.labels(model, version, stage).observe(seconds)
    profiles.count(model, version, profile)
