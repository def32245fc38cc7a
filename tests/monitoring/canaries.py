"""A canary beside its stable version, as series."""

from __future__ import annotations

from collections.abc import Iterator

from tests.monitoring.series import Series, counter, gauge

_STABLE_REQUESTS = 40


def trial(
    *,
    failing: float = 0.0,
    seconds: float = 0.3,
    unsure: float = 0.1,
    requests: float = 2,
    share: float = 0.05,
    minutes: int = 60,
) -> tuple[Series, ...]:
    """A stable version that answers forty requests a minute, each with two calls, and a canary.

    Args:
        failing: share of the canary's calls that fail.
        seconds: that its calls take; the stable version's take 0.3.
        unsure: share of its answers that are unsure; with the stable version a tenth is.
        requests: that it answers a minute.
        share: that the manifest gives it.
        minutes: how long.
    """
    return (
        *_version("1", "stable", 1 - share, _STABLE_REQUESTS, (0.001, 0.3, 0.1), minutes),
        *_version("2", "canary", share, requests, (failing, seconds, unsure), minutes),
    )


def _version(
    version: str,
    role: str,
    share: float,
    requests: float,
    nature: tuple[float, float, float],
    minutes: int,
) -> Iterator[Series]:
    of, calls = {"model": "piano", "version": version}, 2 * requests
    failing, seconds, unsure = nature
    for instance in "ab":
        yield gauge("copyist_release_share", {**of, "role": role, "instance": instance}, share, minutes)
    for outcome, part in (("ok", 1 - failing), ("model-error", failing), ("cancelled", 1.0)):
        yield counter("copyist_model_calls_total", {**of, "outcome": outcome}, calls * part, minutes)
    yield counter("copyist_model_call_seconds_sum", of, calls * seconds, minutes)
    yield counter("copyist_model_call_seconds_count", of, calls, minutes)
    for bin_, part in enumerate((unsure, 1 - unsure)):
        labels = {**of, "feature": "confidence", "bin": bin_}
        yield counter("copyist_profile_mass_total", labels, requests * part, minutes)
