"""The bench of monitoring's cost: what it switches off is what records, and its figures are sound."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from prometheus_client import REGISTRY

from loadtests.bench_monitoring import measure, ratio, report
from loadtests.monitoring_cost import CALLS, MANAGERS, timed_monitoring, without_monitoring
from services.local.stack import LocalStack
from services.runtime import metrics, model_calls, outcomes
from services.runtime.outcomes import Outcome
from services.runtime.profiles import Observation
from services.runtime.release.manifest import Role
from services.runtime.settings import Settings

OUTCOME = Outcome("bench", "1", 1.0, 3, {"model": 0.5}, [Observation({}, {})])


def recorded() -> float:
    """All that was recorded of the model `bench` and the service `bench`, and all that was brought."""
    return sum(
        sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if "bench" in sample.labels.values() and sample.name.endswith(("_total", "_count"))
    )


def work() -> None:
    """What a request records."""
    with metrics.observe("bench", "http", "/v1/transcribe"), model_calls.observe("bench", "1", Role.STABLE):
        metrics.observe_upload("bench", "http", 100)
        model_calls.count_retry("bench", "overloaded")
        outcomes.count(OUTCOME)


def test_nothing_is_recorded_while_monitoring_is_off() -> None:
    work()
    before = recorded()
    with without_monitoring():
        work()
    assert recorded() == before
    work()
    assert recorded() > before


def test_all_of_it_is_timed_and_does_what_it_always_does() -> None:
    before = recorded()
    with timed_monitoring() as spent:
        work()
        with pytest.raises(ValueError, match="refused"), metrics.observe("bench", "http", "/v1/jobs"):
            raise ValueError("refused")
    assert recorded() > before
    assert spent.seconds > 0
    assert spent.parts["services.runtime.metrics.observe"] == 4, "entered and left, twice"
    assert set(spent.parts) == {
        name for name in (*CALLS, *MANAGERS) if name.startswith("services.runtime.")
    }, "recordings and pages are measured in the services"


def test_the_interval_holds_the_ratio_and_narrows_with_more_pairs() -> None:
    noise = np.random.default_rng(5)
    widths = []
    for pairs in (20, 2000):
        off = np.exp(noise.normal(0, 0.05, pairs))
        on = 1.02 * off * np.exp(noise.normal(0, 0.02, pairs))
        middle, low, high = ratio(on.tolist(), off.tolist())
        assert low < middle < high
        widths.append(high - low)
    assert middle == pytest.approx(1.02, abs=0.003)
    assert widths[1] < widths[0] / 4


@pytest.mark.stack
def test_a_pair_on_the_real_stack(stack: LocalStack) -> None:
    settings = Settings.from_environment({**stack.options.variables, "COPYIST_ENGRAVING_PROCESSES": "1"})
    done = asyncio.run(measure(settings, pairs=1))
    for each in done:
        assert len(each.on) == len(each.off) == len(each.spent_s) == 1
        assert 0 < each.spent_s[0] < each.on[0].cpu_s
    told = report(done)
    assert "demo.flac" in told
    assert "a scrape" in told
