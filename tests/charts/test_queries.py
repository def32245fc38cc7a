"""What KEDA asks Prometheus, answered by Prometheus' own engine (promtool) for times good and bad."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.charts.rendering import case, find

pytestmark = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool (Debian: prometheus) is missing"
)

Series = dict[str, str]

AMT_1 = 'namespace="music",pod="copyist-amt-1",service="amt"'
AMT_2 = 'namespace="music",pod="copyist-amt-2",service="amt"'
OTHERS = 'namespace="elsewhere",pod="copyist-amt-1",service="amt"'
TRITON_1 = 'namespace="music",job="copyist-triton",pod="copyist-triton-1"'
TRITON_2 = 'namespace="music",job="copyist-triton",pod="copyist-triton-2"'
#: A value that stays, read every 15 s; and one that grows by so much with each reading.
STAYS, GROWS = "{}x40", "0+{}x40"
#: A target that answers no more, and one that has not answered yet.
WENT, STARTS = "1x20 0x20", "0x40"


def in_flight(pod: str, route: str, number: int) -> Series:
    """A gauge of requests being served."""
    labels = f'{pod},protocol="http",route="{route}"'
    return {f"copyist_requests_in_flight{{{labels}}}": STAYS.format(number)}


def jobs(pod: str, **states: int) -> Series:
    """One replica's view of all jobs."""
    return {
        f'copyist_jobs{{{pod},state="{state}"}}': STAYS.format(number) for state, number in states.items()
    }


def webhooks_due(pod: str, number: int) -> Series:
    """One replica's view of the webhooks that should be called now."""
    return {f"copyist_webhooks_due{{{pod}}}": STAYS.format(number)}


def turned_away(pod: str, each_reading: float) -> Series:
    """A counter of requests that were answered 503."""
    labels = f'{pod},protocol="http",route="/v1/transcribe",status="503"'
    return {f"copyist_requests_total{{{labels}}}": GROWS.format(each_reading)}


def triton(pod: str, *, pending: int = 0, queue_us: float = 0, requests: float = 0) -> Series:
    """One Triton with one model; its counters grow by so much with each reading."""
    return {
        f"up{{{pod}}}": STAYS.format(1),
        f'nv_inference_pending_request_count{{{pod},model="piano"}}': STAYS.format(pending),
        f'nv_inference_queue_duration_us{{{pod},model="piano",version="1"}}': GROWS.format(queue_us),
        f'nv_inference_request_success{{{pod},model="piano",version="1"}}': GROWS.format(requests),
    }


def silent(pod: str, up: str) -> Series:
    """A Triton that cannot be asked."""
    return {f"up{{{pod}}}": up}


IDLE = in_flight(AMT_1, "/metrics", 1)

#: Component, trigger, what Prometheus has seen, and the one answer; None for no answer.
ANSWERS = {
    "requests, probes and watching left out": (
        "amt",
        "in-flight",
        IDLE
        | in_flight(AMT_1, "/v1/transcribe", 2)
        | in_flight(AMT_2, "/v1/transcribe", 3)
        | in_flight(AMT_1, "/v1/jobs/{job_id}/events", 50)
        | in_flight(AMT_1, "/livez", 1)
        | in_flight(OTHERS, "/v1/transcribe", 9),
        5,
    ),
    "no request yet": ("amt", "in-flight", IDLE, 0),
    "services that cannot be asked": ("amt", "in-flight", in_flight(OTHERS, "/v1/transcribe", 9), None),
    "jobs, counted once": (
        "amt-worker",
        "jobs",
        jobs(AMT_1, queued=4, transcribing=1, completed=900, failed=3, cancelled=2)
        | jobs(AMT_2, queued=3, transcribing=1, completed=901, failed=3, cancelled=2),
        5,
    ),
    "nothing to do": ("amt-worker", "jobs", jobs(AMT_1, queued=0, transcribing=0, completed=5), 0),
    "webhooks, for which one worker is enough": (
        "amt-worker",
        "jobs",
        jobs(AMT_1, queued=0, completed=5) | webhooks_due(AMT_1, 7) | webhooks_due(AMT_2, 6),
        1,
    ),
    "no webhook due yet": ("amt-worker", "jobs", jobs(AMT_1, queued=2) | webhooks_due(AMT_1, 0), 2),
    "webhooks need no models": (
        "triton",
        "work",
        IDLE | jobs(AMT_1, queued=0) | webhooks_due(AMT_1, 7),
        0,
    ),
    "jobs that cannot be known": ("amt-worker", "jobs", jobs(OTHERS, queued=7), None),
    "requests that wait": ("triton", "pending", triton(TRITON_1, pending=3) | triton(TRITON_2, pending=4), 7),
    "no Triton at all": ("triton", "pending", IDLE, 0),
    "a Triton that cannot be asked any more": ("triton", "pending", silent(TRITON_1, WENT), None),
    "a Triton that starts": ("triton", "pending", silent(TRITON_1, STARTS), 0),
    # 10 requests a reading wait 2 s in all, so 200 ms each: KEDA divides the 400 by the two pods.
    "time in the queue": (
        "triton",
        "queue-time",
        triton(TRITON_1, queue_us=1e6, requests=5) | triton(TRITON_2, queue_us=1e6, requests=5),
        400,
    ),
    "no requests, no time in the queue": ("triton", "queue-time", triton(TRITON_1), 0),
    "no Triton, no time in the queue": ("triton", "queue-time", IDLE, 0),
    "a silent Triton's time in the queue": ("triton", "queue-time", silent(TRITON_1, WENT), None),
    "a starting Triton's time in the queue": ("triton", "queue-time", silent(TRITON_1, STARTS), 0),
    "any work": (
        "triton",
        "work",
        IDLE | in_flight(AMT_1, "/v1/transcribe", 2) | jobs(AMT_1, queued=3) | jobs(AMT_2, queued=3),
        5,
    ),
    # One each reading of 15 s, over 3 minutes.
    "requests that were turned away": (
        "triton",
        "work",
        IDLE | jobs(AMT_1, queued=0) | turned_away(AMT_1, 1),
        12,
    ),
    "no work": ("triton", "work", IDLE | jobs(AMT_1, queued=0) | turned_away(AMT_1, 0), 0),
    "work that cannot be known": ("triton", "work", triton(TRITON_1), None),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_question_has_one_answer_or_none(name: str, tmp_path: Path) -> None:
    component, trigger, series, answer = ANSWERS[name]
    scaled = find(case("keda"), "ScaledObject", f"copyist-{component}")
    (query,) = [
        each["metadata"]["query"] for each in scaled["spec"]["triggers"] if each.get("name") == trigger
    ]
    samples = [] if answer is None else [{"labels": "{}", "value": answer}]
    test = {
        "interval": "15s",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "promql_expr_test": [{"expr": f"round({query}, 0.001)", "eval_time": "8m", "exp_samples": samples}],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"evaluation_interval": "15s", "tests": [test]}))
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
