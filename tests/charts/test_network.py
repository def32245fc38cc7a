"""NetworkPolicies let through the flows that are written here, and nothing else."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.charts.network import End, Network
from tests.charts.rendering import CASES, NAMESPACE, case, merged, pod_templates, render

#: All that a pod may want to speak with, or that may want to speak with a pod.
OUTSIDE: Final = {
    "names": End("names", {"k8s-app": "kube-dns"}, "kube-system"),
    "prometheus": End("prometheus", {}, "monitoring"),
    "stranger": End("stranger", {}, "elsewhere"),
    "neighbour": End("neighbour", {"app": "other"}, NAMESPACE),
    "internet": End("internet", address="52.95.110.1"),
    "private": End("private", address="10.0.7.7"),
    "instance-metadata": End("instance-metadata", address="169.254.169.254"),
    "pod-identity": End("pod-identity", address="169.254.170.23"),
}
PORTS: Final = (
    53,
    80,
    443,
    3000,
    3001,
    3002,
    3003,
    3004,
    3005,
    3006,
    3007,
    3008,
    4317,
    5432,
    6443,
    8000,
    8001,
    8002,
    8443,
    9090,
)

#: Service to Triton, and what Prometheus reads: so in every case.
INNER: Final = {
    *((caller, "triton", 8001) for caller in ("amt", "omr", "amt-worker", "omr-worker")),
    ("prometheus", "amt", 3000),
    ("prometheus", "omr", 3002),
    ("prometheus", "amt-worker", 3004),
    ("prometheus", "omr-worker", 3005),
    ("prometheus", "triton", 8002),
}
#: Any pod of the cluster may call the services, unless values say otherwise.
CALLERS: Final = {
    (caller, service, port)
    for caller in ("names", "prometheus", "stranger", "neighbour")
    for service, port in (("amt", 3000), ("amt", 3001), ("omr", 3002), ("omr", 3003))
}
SERVING: Final = ("amt", "omr", "amt-worker", "omr-worker")
STORES: Final = {
    *((pod, place, 5432) for pod in (*SERVING, "migrate") for place in ("internet", "private")),
    *((pod, place, 443) for pod in SERVING for place in ("internet", "private")),
    *((pod, "pod-identity", 80) for pod in SERVING),
}

#: Those who follow the release manifest ask Kubernetes for it, and read what was published.
FOLLOWED: Final = {
    *(
        (pod, place, port)
        for pod in (*SERVING, "triton")
        for place in ("internet", "private")
        for port in (443, 6443)
    ),
    ("triton", "pod-identity", 80),
}


def names(*pods: str) -> set[tuple[str, str, int]]:
    """The flows of pods that look names up."""
    return {(pod, "names", 53) for pod in pods}


def flows(values: dict[str, Any]) -> set[tuple[str, str, int]]:
    """All connections that may be opened, with who opens them."""
    objects = render(values)
    network = Network(objects, NAMESPACE)
    pods = {
        labels["app.kubernetes.io/component"]: End("pod", labels, NAMESPACE)
        for labels in (template["metadata"]["labels"] for _, template in pod_templates(objects))
    }
    ends = {**OUTSIDE, **pods}
    return {
        (source, target, port)
        for source in ends
        for target in ends
        for port in PORTS
        if source != target and (source in pods or target in pods)
        if network.allows(ends[source], ends[target], port)
    }


EXPECTED: Final = {
    "defaults": INNER | CALLERS | STORES | names(*SERVING, "migrate"),
    "no-auth": INNER
    | CALLERS
    | STORES
    | names(*SERVING, "migrate", "test")
    | {("test", "amt", 3000), ("test", "omr", 3002)},
    "model-sync": INNER
    | CALLERS
    | STORES
    | names(*SERVING, "migrate", "triton")
    | FOLLOWED
    | {("prometheus", "triton", 3006)},
    "operators": INNER
    | CALLERS
    | STORES
    | FOLLOWED
    | names(*SERVING, "migrate", "triton", "retrain", "release-watch", "trigger")
    | {("prometheus", "triton", 3006), ("prometheus", "trigger", 3007), ("prometheus", "release-watch", 3008)}
    | {("release-watch", "prometheus", 9090)}
    | {
        (pod, place, port)
        for pod in ("retrain", "release-watch", "trigger")
        for place in ("internet", "private")
        for port in (443, 6443)
    }
    | {(pod, place, 5432) for pod in ("retrain", "trigger") for place in ("internet", "private")}
    | {(pod, "pod-identity", 80) for pod in ("retrain", "release-watch")},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_just_what_flows_is_let_through(name: str) -> None:
    assert flows(CASES[name]) == EXPECTED[name]


def test_what_is_configured_opens_its_flow_and_no_more() -> None:
    asked = flows(CASES["everything-asked"]) - flows(CASES["defaults"])
    tracing = {(pod, "names", 4317) for pod in SERVING} | {
        (pod, where, 4317) for pod in SERVING for where in ("prometheus", "stranger", "neighbour")
    }
    # Webhooks go to the ports that their addresses may have, never to private addresses.
    webhooks = {
        (pod, "internet", port)
        for pod in ("amt-worker", "omr-worker")
        for port in PORTS
        if port not in (53, 443, 5432)  # open to stores already, or to nobody
    }
    assert asked == tracing | webhooks
    closed = {"networkPolicy": {"objectStorage": {"to": [{"ipBlock": {"cidr": "10.0.0.0/16"}}]}}}
    asked = flows(merged(CASES["everything-asked"], closed)) - tracing
    # The OIDC issuer may be anywhere; webhooks go to public addresses alone.
    assert {flow for flow in asked if flow[2] == 443} == {
        *((pod, "private", 443) for pod in SERVING),
        *((pod, "internet", 443) for pod in SERVING),
    }
    without_s3 = {"files": {"url": "/data/files"}, "dataVolume": {"enabled": True}}
    asked = flows(merged(CASES["everything-asked"], without_s3))
    assert {flow for flow in asked if flow[2] == 443} == {
        *((pod, place, 443) for pod in ("amt", "omr") for place in ("internet", "private")),
        *((pod, "internet", 443) for pod in ("amt-worker", "omr-worker")),
    }


def test_callers_can_be_narrowed() -> None:
    clients = [{"ipBlock": {"cidr": "10.0.0.0/16"}}]
    found = flows(merged(CASES["defaults"], {"networkPolicy": {"clients": clients}}))
    entering = {flow for flow in found if flow[1] in ("amt", "omr")}
    assert entering == {
        *(
            ("private", service, port)
            for service, port in (("amt", 3000), ("amt", 3001), ("omr", 3002), ("omr", 3003))
        ),
        ("prometheus", "amt", 3000),
        ("prometheus", "omr", 3002),
    }


def test_nobody_reaches_the_instance_metadata() -> None:
    for name in ("defaults", "everything-asked", "retraining", "model-sync", "eks"):
        assert not {flow for flow in flows(CASES[name]) if flow[1] == "instance-metadata"}, name


def test_another_triton_is_reached_and_nobody_else() -> None:
    found = flows(CASES["other-triton"])
    assert {flow for flow in found if flow[2] == 8001} == {
        (pod, place, 8001) for pod in SERVING for place in ("internet", "private")
    }


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("no-policies", "dev", "dev-cpu")])
def test_every_pod_is_covered(name: str) -> None:
    objects = case(name)
    network = Network(objects, NAMESPACE)
    for where, template in pod_templates(objects):
        pod = End(where, template["metadata"]["labels"], NAMESPACE)
        assert not network.allows(OUTSIDE["stranger"], pod, 9999), where
        assert not network.allows(pod, OUTSIDE["internet"], 22), where


def test_rules_can_be_switched_off() -> None:
    assert not any(each["kind"] == "NetworkPolicy" for each in case("no-policies"))
