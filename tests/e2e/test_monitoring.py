"""A real Prometheus beside the real stack: what rules and dashboards ask for is there."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

import httpx
import pytest
import yaml

from monitoring.boards import DASHBOARDS
from services.client import Copyist
from services.client.demo import PAGE, RECORDING
from services.local import stack as stacks
from services.local.options import PROGRAMS, StackOptions, watching
from services.local.stack import LocalStack
from services.operate.drift_figures import Window, read_figures
from services.operate.prometheus import Prometheus
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import HISTORY, open_board
from services.runtime.release.steps import apply, rollback, start_canary, start_shadow, stop_shadow
from tests.monitoring.promtool import RULES
from tests.recordings import tones, with_soundfile
from tests.releasing import publish_made, wait_until_in_force
from tests.spoiled_models import as_it_is
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(
        shutil.which("prometheus") is None or shutil.which("prometheus-alertmanager") is None,
        reason="Prometheus or its Alertmanager is not installed",
    ),
]

#: Prometheus asks, and evaluates its rules, every five seconds; a rate needs two answers.
_SEEN_WITHIN_S: Final = 180
_METRIC: Final = re.compile(r"\b(?:copyist_[a-z_]+|nv_[a-z_]+)\b")
_ON_GPUS_ALONE: Final = "nv_gpu_"
#: Panels of what seldom happens: without a case there is nothing to draw.
_RARE: Final = (
    "copyist_model_call_retries_total",
    "copyist_jobs_taken_over_total",
    "copyist_webhook_calls_total",
    "nv_inference_request_failure",
    "copyist_canary_breaches_total",
    "copyist_canary_steps_total",
    "copyist_release_fallbacks_total",
    "copyist_retraining_requests_total",
    "copyist_retraining_runs",
    "copyist_retraining_step",
    "copyist_sync_failures_total",
)


@pytest.fixture(scope="module")
def new_versions(stack: LocalStack) -> Iterator[None]:
    """A canary that answers all requests for `piano`, and a version in the shadow of `symbols`."""
    options, by = stack.options, "a test"
    board = open_board(options.release_url)
    artefacts = Artefacts(options.models_url, options.model_repository)
    for start, model in ((partial(start_canary, automatic=False), "piano"), (start_shadow, "symbols")):
        shipped, new = artefacts.shipped(model), publish_made(options, model, as_it_is)
        apply(board, partial(start, model=model, version=new, share=1.0, shipped=shipped, by=by))
    wait_until_in_force(stack)
    yield
    apply(board, partial(rollback, model="piano", history=board.history(HISTORY), by=by))
    apply(board, partial(stop_shadow, model="symbols", by=by))
    wait_until_in_force(stack)


@pytest.fixture(scope="module")
def prometheus(stack: LocalStack, new_versions: None) -> Iterator[Prometheus]:
    """A Prometheus that has watched a recording, a page, a job and a bad upload go through the stack."""
    options = watching(stack.options)
    stacks.up(options, lambda _: None, owned=True)
    try:
        url = f"http://{options.host}:{options.prometheus_port}"
        server = Prometheus(url)
        _wait_for(server, "up == 1", len(_watched(options)))
        _wait_for(server, "copyist_sync_ready == 1", 4)
        with Copyist(stack.http_url, pages_url=stack.omr_http_url) as client:
            client.transcribe(RECORDING)
            client.recognize(PAGE)
        httpx.post(f"{stack.http_url}/v1/transcribe", files={"file": b"no music"}, timeout=60)
        for address, name, content in (
            (stack.http_url, "a.wav", with_soundfile(tones(3, 16_000), 16_000, "WAV")),
            (stack.omr_http_url, "a.png", PAGE.read_bytes()),
        ):
            accepted = httpx.post(f"{address}/v1/jobs", files={"file": (name, content)}, timeout=60)
            assert accepted.status_code in (200, 202)
        _wait_for(server, 'copyist_jobs_finished_total{state="completed"} > 0', 2)
        _wait_for(server, "copyist:psi_chance:1h > 0", 1)
        _wait_for(server, "copyist_shadow_agreement_count > 0", 1)
        time.sleep(11)  # twice more, for rates over what came last
        yield server
    finally:
        stacks.down(options, lambda _: None)


def _watched(options: StackOptions) -> tuple[str, ...]:
    """The programs that are asked for metrics: all of the stack, and those that watch it."""
    return (*PROGRAMS, *(name for name in options.programs if name not in ("prometheus", "alertmanager")))


def _wait_for(server: Prometheus, expression: str, least: int) -> None:
    deadline = time.monotonic() + _SEEN_WITHIN_S
    while len(server.now(expression)) < least:
        assert time.monotonic() < deadline, f"{expression} is not there"
        time.sleep(0.5)


def _alerts_and_records() -> list[str]:
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def _panels() -> list[str]:
    panels = [panel for board in DASHBOARDS for row in board.rows for panel in row.panels]
    return [expression for panel in panels for expression in panel.queries.values()]


def test_every_target_is_up(prometheus: Prometheus, stack: LocalStack) -> None:
    expected = {(f"copyist-{name}", 1) for name in _watched(watching(stack.options))}

    def seen() -> set[tuple[str, float]]:
        return {(sample.labels["job"], sample.value) for sample in prometheus.now("up")}

    # One that was held up when it was asked is up again when it is asked next.
    wait_for(lambda: seen() == expected)


def test_no_rule_or_panel_asks_for_a_metric_that_the_stack_does_not_export(
    prometheus: Prometheus, stack: LocalStack
) -> None:
    asked = {
        name for expression in (*_alerts_and_records(), *_panels()) for name in _METRIC.findall(expression)
    }
    options = watching(stack.options)
    told_by = f"http://{options.host}:{options.prometheus_port}/api/v1/targets"
    targets = httpx.get(told_by, timeout=60).json()["data"]["activeTargets"]
    addresses = [target["scrapeUrl"] for target in targets]
    exported = "".join(httpx.get(address, timeout=60).text for address in addresses)
    told = set(re.findall(r"^# HELP (\S+) ", exported, re.MULTILINE))
    for name in sorted(asked):
        # A histogram's series carry its name with an ending.
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        assert name.startswith(_ON_GPUS_ALONE) or {name, base} & told, name


@pytest.mark.parametrize("expression", sorted(set(_panels())))
def test_every_panel_has_something_to_draw(prometheus: Prometheus, expression: str) -> None:
    if _ON_GPUS_ALONE in expression or any(name in expression for name in _RARE):
        prometheus.now(expression)
    else:
        wait_for(lambda: bool(prometheus.now(expression)))


def test_no_alert_speaks_of_a_little_ordinary_work(prometheus: Prometheus) -> None:
    # A few uploads are no sample of what comes, and how long they take here is the machine's.
    others = 'alertname!~"Copyist.*Drift|CopyistValidityLow|CopyistLatencyBudgetBurning"'
    assert prometheus.now(f'ALERTS{{alertstate="firing", {others}}}') == []


def test_the_report_of_drift_reads_what_prometheus_has(prometheus: Prometheus) -> None:
    figures = read_figures(prometheus, Window.HOUR)
    features = {(each.model, each.feature): each for each in figures.features}
    assert ("piano", "snr_db") in features
    assert ("symbols", "unevenness") in features
    seen = features["symbols", "unevenness"]
    assert len(seen.reference) == len(seen.live) == len(seen.edges) + 1
    assert sum(seen.live) == pytest.approx(1)
    assert sum(seen.reference) == pytest.approx(1)
    assert {("piano", "notes_found"), ("symbols", "measures_add_up")} <= {
        (each.model, each.check) for each in figures.checks
    }
