"""Who decides on the number of pods, and what is asked for it."""

from __future__ import annotations

import re

import pytest

from services.runtime.jobs.job import JobState
from tests.charts.rendering import CASES, Object, case, find, merged, of_kind, render

SCALED = {
    "copyist-amt": "Deployment",
    "copyist-omr": "Deployment",
    "copyist-amt-worker": "StatefulSet",
    "copyist-omr-worker": "StatefulSet",
    "copyist-triton": "Deployment",
}


@pytest.mark.parametrize("name", CASES)
def test_replicas_are_written_only_where_nothing_scales(name: str) -> None:
    scalers = of_kind(case(name), "ScaledObject", "HorizontalPodAutoscaler")
    for kind in of_kind(case(name), "Deployment", "StatefulSet"):
        scaled = any(each["spec"]["scaleTargetRef"]["name"] == kind["metadata"]["name"] for each in scalers)
        assert scaled is ("replicas" not in kind["spec"]), kind["metadata"]["name"]
        assert not (scaled and CASES[name].get("autoscaling", {}).get("engine") is None)


@pytest.mark.parametrize(("name", "scaler"), [("keda", "ScaledObject"), ("hpa", "HorizontalPodAutoscaler")])
def test_everything_is_scaled_and_each_scaler_has_its_target(name: str, scaler: str) -> None:
    targets = {
        each["spec"]["scaleTargetRef"]["name"]: each["spec"]["scaleTargetRef"]["kind"]
        for each in of_kind(case(name), scaler)
    }
    assert targets == SCALED
    for target, kind in targets.items():
        assert find(case(name), kind, target)


def triggers(component: str) -> dict[str, Object]:
    """KEDA's triggers of a component by their names."""
    found = find(case("keda"), "ScaledObject", component)["spec"]["triggers"]
    return {trigger.get("name", trigger["type"]): trigger for trigger in found}


def test_every_question_has_one_answer_and_none_is_not_zero() -> None:
    for scaled in of_kind(case("keda"), "ScaledObject"):
        assert scaled["spec"]["fallback"]["replicas"] >= 1
        for trigger in scaled["spec"]["triggers"]:
            if trigger["type"] != "prometheus":
                continue
            assert trigger["metricType"] == "AverageValue"  # a fallback knows no other
            assert trigger["metadata"]["ignoreNullValues"] == "false"
            assert trigger["authenticationRef"] == {"name": "prometheus"}
            query = trigger["metadata"]["query"]
            assert query.count("(") == query.count(")")
            # Every vector is summed, counted or a constant: no labels are left that could make two values.
            assert re.match(r"^\(*(sum|vector)\(", query), query


def test_questions_are_about_this_release() -> None:
    for scaled in of_kind(case("keda"), "ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            for selector in re.findall(r"\{([^}]*)\}", trigger["metadata"].get("query", "")):
                assert 'namespace="music"' in selector
                assert "copyist-" in selector


def test_workers_are_scaled_by_jobs_that_are_not_finished() -> None:
    query = triggers("copyist-amt-worker")["jobs"]["metadata"]["query"]
    (states,) = re.findall(r'state!~"([^"]*)"', query)
    assert set(states.split("|")) == {state.value for state in JobState if state.finished}
    assert find(case("keda"), "ScaledObject", "copyist-amt-worker")["spec"]["minReplicaCount"] == 0


def test_triton_is_scaled_by_what_waits_and_started_by_any_work() -> None:
    found = triggers("copyist-triton")
    assert set(found) == {"pending", "queue-time", "work", "cron"}
    assert "nv_inference_pending_request_count" in found["pending"]["metadata"]["query"]
    assert "nv_inference_queue_duration_us" in found["queue-time"]["metadata"]["query"]
    for metric in ("copyist_jobs", "copyist_requests_in_flight", "copyist_requests_total"):
        assert metric in found["work"]["metadata"]["query"]
    assert found["cron"]["metadata"]["desiredReplicas"] == "1"
    assert find(case("keda"), "ScaledObject", "copyist-triton")["spec"]["minReplicaCount"] == 0


def test_a_fallback_is_never_more_than_the_greatest_number() -> None:
    values = merged(CASES["keda"], {"triton": {"autoscaling": {"maxReplicas": 1}}})
    scaled = find(render(values), "ScaledObject", "copyist-triton")["spec"]
    assert scaled["fallback"]["replicas"] == scaled["maxReplicaCount"] == 1


def test_triton_on_gpus_is_not_scaled_by_its_cpu() -> None:
    on_gpus = find(case("hpa"), "HorizontalPodAutoscaler", "copyist-triton")["spec"]["metrics"]
    assert on_gpus[0]["pods"]["metric"]["name"] == "nv_inference_pending_request_count"
    on_cpus = find(case("cpu-hpa"), "HorizontalPodAutoscaler", "copyist-triton")["spec"]["metrics"]
    assert on_cpus[0]["containerResource"]["container"] == "triton"
