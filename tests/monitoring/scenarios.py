"""For every alert what happens when it must fire, and what when it must not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.monitoring.canaries import trial
from tests.monitoring.series import Series, counter, gauge

REQUESTS = "copyist_requests_total"
TRANSCRIBE = {"service": "amt", "protocol": "http", "route": "/v1/transcribe"}
TRITON = {"job": "copyist-triton", "instance": "a"}
OF_MODEL = {"model": "piano", "version": "1"}


@dataclass(frozen=True)
class Scenario:
    """What happens, and which alert must (or must not) fire by then.

    Attributes:
        alert: its name.
        labels: those that it must have, beside severity.
        minutes: when it is looked at.
        fires: the series on which it fires.
        silent: the series on which it does not.
    """

    alert: str
    labels: Mapping[str, str]
    minutes: int
    fires: tuple[Series, ...]
    silent: tuple[Series, ...]

    def told(self, series: tuple[Series, ...], alerts: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A test of promtool's: on these series, these alerts."""
        expected = {"eval_time": f"{self.minutes}m", "alertname": self.alert, "exp_alerts": list(alerts)}
        return {
            "interval": "1m",
            "input_series": [each.told() for each in series],
            "alert_rule_test": [expected],
        }


def answers(good: float, bad: float, minutes: int, status: str = "503") -> tuple[Series, ...]:
    """Answers a minute, of the audio service."""
    return (
        counter(REQUESTS, {**TRANSCRIBE, "status": "200"}, good, minutes),
        counter(REQUESTS, {**TRANSCRIBE, "status": status}, bad, minutes),
        # A service that is not ready says so to its probe every few seconds: no fault in anybody's eyes.
        counter(REQUESTS, {**TRANSCRIBE, "route": "/readyz", "status": "503"}, 30, minutes),
    )


def latencies(quick: float, slow: float, minutes: int) -> tuple[Series, ...]:
    """Answers a minute, within and beyond 30 s."""
    return (
        counter("copyist_request_seconds_bucket", {**TRANSCRIBE, "le": "30.0"}, quick, minutes),
        counter("copyist_request_seconds_count", TRANSCRIBE, quick + slow, minutes),
    )


def profile(feature: str, masses: tuple[float, float], minutes: int) -> tuple[Series, ...]:
    """Observations a minute in two bins whose reference is half and half of 400."""
    of = {**OF_MODEL, "feature": feature}
    return (
        gauge("copyist_reference_size", OF_MODEL, 400, minutes),
        *(gauge("copyist_reference_share", {**of, "bin": number}, 0.5, minutes) for number in (0, 1)),
        *(
            counter("copyist_profile_mass_total", {**of, "bin": number}, mass, minutes)
            for number, mass in enumerate(masses)
        ),
    )


def also(series: tuple[Series, ...]) -> tuple[Series, ...]:
    """Another feature's series, less what is told once for all features."""
    return tuple(each for each in series if each.name != "copyist_reference_size")


def profile_that_returns(feature: str, off: int, ordinary: int) -> tuple[Series, ...]:
    """As `profile`, for so many minutes off the reference, then for so many as in it."""
    *reference, low, high = profile(feature, (0, 0), off + ordinary)
    told = (
        Series(low.name, low.labels, f"0+0.9x{off} {0.9 * off + 0.5}+0.5x{ordinary}"),
        Series(high.name, high.labels, f"0+0.1x{off} {0.1 * off + 0.5}+0.5x{ordinary}"),
    )
    return (*reference, *told)


def checks(passed: float, failed: float, minutes: int) -> tuple[Series, ...]:
    """Checks a minute, of which 95 in 100 pass in the reference."""
    of = {**OF_MODEL, "check": "measures_add_up"}
    return (
        gauge("copyist_reference_passed", of, 0.95, minutes),
        counter("copyist_checks_total", {**of, "passed": "yes"}, passed, minutes),
        counter("copyist_checks_total", {**of, "passed": "no"}, failed, minutes),
    )


def ready(*replicas: tuple[float, float], minutes: int = 60) -> tuple[Series, ...]:
    """Whether versions 1 and 2 are ready, as each of several services sees it."""
    return tuple(
        gauge(
            "copyist_model_ready",
            {"job": "copyist-amt-worker", "model": "piano", "version": version, "instance": instance},
            value,
            minutes,
        )
        for instance, values in enumerate(replicas)
        for version, value in enumerate(values, 1)
    )


def queue(seconds_a_request: float, minutes: int = 60) -> tuple[Series, ...]:
    """Ten inferences a minute that wait so long."""
    return (
        counter("nv_inference_request_success", OF_MODEL, 10, minutes),
        counter("nv_inference_queue_duration_us", OF_MODEL, 10e6 * seconds_a_request, minutes),
    )


def calls(good: float, bad: float, minutes: int = 60) -> tuple[Series, ...]:
    """Calls of the model server a minute."""
    return (
        counter("copyist_model_calls_total", {"model": "piano", "outcome": "ok"}, good, minutes),
        counter("copyist_model_calls_total", {"model": "piano", "outcome": "model-error"}, bad, minutes),
    )


def jobs(
    waiting: float, ended: float, failed: float, minutes: int = 150, service: str = "omr"
) -> tuple[Series, ...]:
    """Jobs that wait, and jobs that end a minute."""
    of = {"service": service}
    return (
        gauge("copyist_jobs", {**of, "state": "queued", "instance": "a"}, waiting, minutes),
        gauge("copyist_jobs", {**of, "state": "queued", "instance": "b"}, waiting, minutes),
        counter("copyist_jobs_finished_total", {**of, "state": "completed"}, ended, minutes),
        counter("copyist_jobs_finished_total", {**of, "state": "failed"}, failed, minutes),
    )


def expiring(name: str, labels: Mapping[str, object], days: float) -> Series:
    """A moment that is so many days off an hour and a half after promtool's beginning, which is at 0."""
    return gauge(name, labels, 90 * 60 + days * 86400, 90)


def fetches(succeeded: float, failed: float) -> tuple[Series, ...]:
    """Fetches of the issuer's keys a minute."""
    of = {"job": "copyist-amt", "instance": "a"}
    return (
        counter("copyist_issuer_fetches_total", {**of, "outcome": "ok"}, succeeded, 100),
        counter("copyist_issuer_fetches_total", {**of, "outcome": "failed"}, failed, 100),
    )


def starts(failing: float, running: float) -> tuple[Series, ...]:
    """Starts of retrainings that fail a minute, and requests that have not ended."""
    return (
        counter("copyist_retraining_start_failures_total", {"model": "piano"}, failing, 100),
        gauge("copyist_retraining_running", {"model": "piano"}, running, 100),
    )


def webhooks(delivered: float, lost: float, minutes: int = 150) -> tuple[Series, ...]:
    """Calls of webhooks a minute."""
    return (
        counter("copyist_webhook_calls_total", {"result": "delivered"}, delivered, minutes),
        counter("copyist_webhook_calls_total", {"result": "unreachable"}, lost, minutes),
    )


AMT = {"service": "amt"}
CANARY = {"model": "piano", "version": "2"}
OMR = {"service": "omr"}
OLDEST = "copyist_jobs_oldest_queued_seconds"
KEYS = "copyist_api_keys_soonest_expiry_timestamp_seconds"
FAILED = "copyist_retraining_last_failed_timestamp_seconds"
SCENARIOS = (
    *(
        Scenario(
            "CopyistErrorBudgetBurning",
            {**AMT, "window": window},
            minutes,
            answers(100 - share, share, minutes),
            answers(100 - share / 2, share / 2, minutes),
        )
        # Just above 14.4, 6 and 3 times 0.5 %.
        for window, minutes, share in (("1h", 80, 8), ("6h", 400, 3.2), ("1d", 1600, 1.6))
    ),
    Scenario(
        "CopyistErrorBudgetBurning",
        {**AMT, "window": "1h"},
        80,
        answers(50, 50, 80, status="INTERNAL"),
        answers(50, 50, 80, status="429"),
    ),
    *(
        Scenario(
            "CopyistLatencyBudgetBurning",
            {**AMT, "window": window},
            minutes,
            latencies(100 - share, share, minutes),
            latencies(100 - share / 2, share / 2, minutes),
        )
        for window, minutes, share in (("1h", 80, 75), ("6h", 400, 32))
    ),
    Scenario("CopyistOverloaded", AMT, 30, answers(8, 2, 30, "429"), answers(19, 1, 30, "429")),
    Scenario(
        "CopyistModelNotReady",
        {**AMT, "model": "piano"},
        30,
        (*ready((0, 0), (0, 0)), *jobs(1, 0, 0, service="amt")),
        (*ready((0, 0), (1, 0)), *jobs(1, 0, 0, service="amt")),
    ),
    # Nobody wants anything of it: the probes alone are told that it is away.
    Scenario(
        "CopyistModelNotReady",
        {**AMT, "model": "piano"},
        30,
        (*ready((0, 0)), *answers(0, 1, 60)),
        (*ready((0, 0)), *answers(1, 0, 60), *jobs(1, 1, 0, service="omr")),
    ),
    Scenario(
        "CopyistVersionSkew",
        {"model": "piano", "version": "2"},
        30,
        ready((1, 1), (1, 0)),
        ready((1, 1), (1, 1), (0, 0)),
    ),
    Scenario(
        "CopyistVersionNotServed",
        {"model": "piano", "version": "2"},
        30,
        tuple(gauge("copyist_sync_ready", {**CANARY, "instance": n}, n, 60) for n in (0, 1)),
        tuple(gauge("copyist_sync_ready", {**CANARY, "instance": n}, 1, 60) for n in (0, 1)),
    ),
    Scenario(
        "CopyistReleaseUnreadable",
        {"job": "copyist-amt"},
        30,
        tuple(
            gauge("copyist_release_readable", {"job": "copyist-amt", "instance": n}, n, 60) for n in (0, 1)
        ),
        tuple(
            gauge("copyist_release_readable", {"job": "copyist-amt", "instance": n}, 1, 60) for n in (0, 1)
        ),
    ),
    Scenario("CopyistModelQueueLong", {"model": "piano"}, 30, queue(6), queue(4)),
    Scenario("CopyistModelCallsFailing", {"model": "piano"}, 30, calls(9, 1), calls(99, 1)),
    Scenario(
        "CopyistTargetDown",
        {"job": "copyist-amt", "instance": "a"},
        30,
        (gauge("up", {"job": "copyist-amt", "instance": "a"}, 0, 60),),
        (gauge("up", {"job": "copyist-amt", "instance": "a"}, 1, 60), gauge("up", {"job": "node"}, 0, 60)),
    ),
    # One that has never answered, long ago and lately; and one that has.
    Scenario(
        "CopyistTargetDown", TRITON, 40, (Series("up", TRITON, "0x60"),), (Series("up", TRITON, "_x15 0x60"),)
    ),
    Scenario(
        "CopyistTargetDown", TRITON, 40, (Series("up", TRITON, "1x30 0x30"),), (Series("up", TRITON, "1x60"),)
    ),
    Scenario(
        "CopyistJobsWaiting",
        OMR,
        30,
        (gauge(OLDEST, {**OMR, "instance": "a"}, 2000, 60),),
        (gauge(OLDEST, {**OMR, "instance": "a"}, 1700, 60),),
    ),
    Scenario("CopyistJobsStuck", OMR, 130, jobs(3, 0, 0), jobs(3, 0.1, 0)),
    Scenario("CopyistJobsStuck", OMR, 130, jobs(3, 0, 0), jobs(0, 0, 0)),
    Scenario("CopyistJobsFailing", OMR, 130, jobs(0, 3, 1), jobs(0, 9, 1)),
    Scenario("CopyistWebhooksFailing", {}, 149, webhooks(1, 2), webhooks(2, 1)),
    Scenario(
        "CopyistApiKeyExpiring",
        {"scope": "amt"},
        90,
        (expiring(KEYS, {"scope": "amt", "instance": "a"}, 6), expiring(KEYS, {"scope": "omr"}, 8)),
        (expiring(KEYS, {"scope": "amt", "instance": "a"}, 8), gauge(KEYS, {"scope": "omr"}, 0, 90)),
    ),
    Scenario("CopyistIssuerAway", {"job": "copyist-amt"}, 90, fetches(0, 0.2), fetches(0.1, 0.2)),
    Scenario("CopyistIssuerAway", {"job": "copyist-amt"}, 90, fetches(0, 0.2), fetches(0, 0)),
    *(
        Scenario(
            "CopyistCertificateExpiring",
            {"name": name},
            90,
            (expiring(metric, labels, 13),),
            (expiring(metric, labels, 15), expiring(metric, {"job": "others", "name": "other"}, 1)),
        )
        for name, metric, labels in (
            (
                "https://amt.example.com",
                "probe_ssl_earliest_cert_expiry",
                {"job": "copyist-public", "instance": "https://amt.example.com"},
            ),
            ("copyist-tls", "certmanager_certificate_expiration_timestamp_seconds", {"name": "copyist-tls"}),
        )
    ),
    Scenario(
        "CopyistRetrainingFailed",
        {"model": "piano"},
        30,
        (
            gauge(FAILED, {"model": "piano", "instance": "a"}, 600, 60),
            gauge(FAILED, {"model": "symbols"}, 0, 60),
        ),
        (gauge(FAILED, {"model": "piano", "instance": "a"}, 0, 60),),
    ),
    Scenario("CopyistRetrainingNotStarting", {"model": "piano"}, 60, starts(0.1, 1), starts(0, 1)),
    Scenario("CopyistRetrainingNotStarting", {"model": "piano"}, 60, starts(0.1, 1), starts(0.1, 0)),
    Scenario(
        "CopyistTriggerRefusing",
        {},
        60,
        (counter("copyist_retraining_calls_refused_total", {"status": "401"}, 0.2, 60),),
        # The database was away: Alertmanager comes again by itself.
        (counter("copyist_retraining_calls_refused_total", {"status": "503"}, 0.2, 60),),
    ),
    *(
        Scenario(
            alert,
            {**OF_MODEL, "feature": feature, "cause": cause, "window": window},
            minutes,
            profile(feature, (0.9, 0.1), minutes),
            profile(feature, (0.6, 0.4), minutes),
        )
        for alert, feature, cause in (
            ("CopyistLevelDrift", "loudness_db", "level"),
            ("CopyistInputDrift", "snr_db", "noise"),
            ("CopyistInputDrift", "treble_db", "sound"),
            ("CopyistInputDrift", "unevenness", "taking"),
            ("CopyistOutputDrift", "pitch", "content"),
            ("CopyistConfidenceDrift", "confidence", "confidence"),
        )
        for window, minutes in (("1h", 90), ("1d", 1500))
    ),
    Scenario(
        "CopyistInputDrift",
        {**OF_MODEL, "feature": "snr_db", "cause": "noise", "window": "1h"},
        90,
        profile("snr_db", (0.9, 0.1), 90),
        # As far off, but in four observations: that may be chance.
        profile("snr_db", (0.06, 0.0067), 90),
    ),
    *(
        Scenario(
            alert,
            {**OF_MODEL, "feature": feature, "cause": cause, "window": "1h"},
            90,
            # Loudness explains nothing: what else has changed is told.
            (*profile(feature, (0.9, 0.1), 90), *also(profile("loudness_db", (0.9, 0.1), 90))),
            # Noise explains it: it is told of the noise alone.
            (*profile(feature, (0.9, 0.1), 90), *also(profile("snr_db", (0.9, 0.1), 90))),
        )
        for alert, feature, cause in (
            ("CopyistOutputDrift", "pitch", "content"),
            ("CopyistConfidenceDrift", "confidence", "confidence"),
        )
    ),
    Scenario(
        "CopyistValidityLow",
        {**OF_MODEL, "check": "measures_add_up", "window": "1h"},
        90,
        # Noise explains no collapse.
        (*profile("snr_db", (0.9, 0.1), 90), *checks(4, 6, 90)),
        (*profile("snr_db", (0.9, 0.1), 90), *checks(8, 2, 90)),
    ),
    Scenario(
        "CopyistInputDrift",
        {**OF_MODEL, "feature": "snr_db", "cause": "noise", "window": "1h"},
        150,
        profile("snr_db", (0.9, 0.1), 150),
        # It was so, and has been as in the reference for more than an hour.
        profile_that_returns("snr_db", 70, 80),
    ),
    *(
        Scenario(
            "CopyistValidityLow",
            {**OF_MODEL, "check": "measures_add_up", "window": window},
            minutes,
            checks(8, 2, minutes),
            checks(9.2, 0.8, minutes),
        )
        for window, minutes in (("1h", 90), ("1d", 1500))
    ),
    Scenario(
        "CopyistValidityLow",
        {**OF_MODEL, "check": "measures_add_up", "window": "1h"},
        90,
        checks(8, 2, 90),
        # As low, but of thirty measures: that may be chance.
        checks(0.43, 0.07, 90),
    ),
    *(
        Scenario("CopyistCanaryWorse", {"model": "piano", "version": "2", "figure": figure}, 50, bad, good)
        for figure, bad, good in (
            ("failed calls", trial(failing=0.1), trial(failing=0.03)),
            ("failed calls", trial(failing=1.0), trial(failing=1.0, requests=0.2)),
            ("time of a call", trial(seconds=0.6), trial(seconds=0.4)),
            ("time of a call", trial(seconds=0.6), trial(seconds=0.6, share=0.0)),
            ("distribution of the answers", trial(unsure=0.9), trial(unsure=0.2)),
            ("distribution of the answers", trial(unsure=0.9), trial(unsure=0.9, requests=0.05)),
        )
    ),
)
