"""Services, Ingresses, routes, monitors and budgets lead to pods that are there, at ports that are open."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from tests.charts.kinds import problems
from tests.charts.rendering import (
    CASES,
    CHART,
    NAMESPACE,
    Object,
    case,
    containers,
    find,
    merged,
    of_kind,
    pod_templates,
    render,
)

NAMES = list(CASES)


def selected(objects: tuple[Object, ...], labels: dict[str, str]) -> list[Object]:
    """The pods that a selector finds."""
    return [
        template
        for _, template in pod_templates(objects)
        if labels.items() <= template["metadata"]["labels"].items()
    ]


def ports(template: Object) -> dict[str, int]:
    """A pod's open ports by their names."""
    return {
        port["name"]: port["containerPort"]
        for container in containers(template)
        for port in container.get("ports", [])
    }


@pytest.mark.parametrize("name", NAMES)
def test_workloads_select_their_own_pods_and_no_others(name: str) -> None:
    for kind in of_kind(case(name), "Deployment", "StatefulSet"):
        assert selected(case(name), kind["spec"]["selector"]["matchLabels"]) == [kind["spec"]["template"]]


@pytest.mark.parametrize("name", NAMES)
def test_every_service_has_one_kind_of_pod_behind_each_port(name: str) -> None:
    for service in of_kind(case(name), "Service"):
        (template,) = selected(case(name), service["spec"]["selector"])
        for port in service["spec"]["ports"]:
            assert ports(template)[port["targetPort"]] == port["port"], service["metadata"]["name"]


@pytest.mark.parametrize("name", NAMES)
def test_stateful_sets_have_their_headless_service(name: str) -> None:
    for kind in of_kind(case(name), "StatefulSet"):
        service = find(case(name), "Service", kind["spec"]["serviceName"])
        assert service["spec"]["clusterIP"] == "None"
        assert service["spec"]["selector"] == kind["spec"]["selector"]["matchLabels"]


def test_triton_is_reached_by_the_address_of_every_pod() -> None:
    address = find(case("defaults"), "ConfigMap", "copyist-settings")["data"]["COPYIST_TRITON_URL"]
    assert address == "dns:///copyist-triton-headless.music.svc.cluster.local:8001"
    service = find(case("defaults"), "Service", "copyist-triton-headless")
    assert service["spec"]["clusterIP"] == "None"
    assert "publishNotReadyAddresses" not in service["spec"]


@pytest.mark.parametrize("name", NAMES)
def test_every_budget_covers_pods_and_lets_nodes_be_emptied(name: str) -> None:
    for budget in of_kind(case(name), "PodDisruptionBudget"):
        assert len(selected(case(name), budget["spec"]["selector"]["matchLabels"])) == 1
        assert budget["spec"]["maxUnavailable"] >= 1
    covered = {budget["metadata"]["name"] for budget in of_kind(case(name), "PodDisruptionBudget")}
    assert covered == {kind["metadata"]["name"] for kind in of_kind(case(name), "Deployment", "StatefulSet")}


@pytest.mark.parametrize(
    ("name", "more"),
    [("eks", set()), ("keda", set()), ("operators", {"sync", "release-watch", "trigger"})],
)
def test_prometheus_finds_the_metrics_of_every_pod(name: str, more: set[str]) -> None:
    objects = case(name)
    found = set()
    for monitor in of_kind(objects, "ServiceMonitor"):
        labels = monitor["spec"]["selector"]["matchLabels"]
        (service,) = [
            s for s in of_kind(objects, "Service") if labels.items() <= s["metadata"]["labels"].items()
        ]
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
        assert endpoint["honorLabels"] is True
        component = service["spec"]["selector"]["app.kubernetes.io/component"]
        assert {"targetLabel": "job", "replacement": f"copyist-{component}"} in endpoint["relabelings"]
        found.add(component)
    for monitor in of_kind(objects, "PodMonitor"):
        (template,) = selected(objects, monitor["spec"]["selector"]["matchLabels"])
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] in ports(template)
        component = template["metadata"]["labels"]["app.kubernetes.io/component"]
        job = "sync" if component == "triton" else component
        assert {"targetLabel": "job", "replacement": f"copyist-{job}"} in endpoint["relabelings"]
        found.add(job)
    assert found == {"amt", "omr", "amt-worker", "omr-worker", "triton"} | more


@pytest.mark.parametrize("name", ["ingress", "eks"])
def test_callers_from_outside_reach_the_apis_and_nothing_else(name: str) -> None:
    objects, paths = case(name), set()
    for ingress in of_kind(objects, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = find(objects, "Service", backend["name"])
                assert backend["port"]["name"] in {port["name"] for port in service["spec"]["ports"]}
                paths.add((rule["host"].partition(".")[0], backend["port"]["name"], path["path"]))
    assert paths == {
        (service, protocol, path)
        for service in ("amt", "omr")
        for protocol, path in (
            ("http", "/v1"),
            ("http", "/docs"),
            ("grpc", "/inference.GRPCInferenceService"),
            ("grpc", "/grpc.health.v1.Health"),
        )
    }


def test_a_load_balancer_of_aws_speaks_grpc_with_grpc_and_waits_for_long_answers() -> None:
    grpc = find(case("eks"), "Ingress", "copyist-amt-grpc")["metadata"]["annotations"]
    http = find(case("eks"), "Ingress", "copyist-amt-http")["metadata"]["annotations"]
    prefix = "alb.ingress.kubernetes.io"
    assert grpc[f"{prefix}/backend-protocol-version"] == "GRPC"
    assert f"{prefix}/backend-protocol-version" not in http
    for told in (grpc, http):
        assert told[f"{prefix}/target-type"] == "ip"
        assert yaml.safe_load(told[f"{prefix}/listen-ports"]) == [{"HTTPS": 443}]
        idle_s = int(told[f"{prefix}/load-balancer-attributes"].partition("=")[2])
        settings = find(case("eks"), "ConfigMap", "copyist-settings")["data"]
        assert int(settings["COPYIST_REQUEST_TIMEOUT_S"]) < idle_s <= 4000  # what AWS takes
    for name in ("copyist-amt", "copyist-omr"):
        command = find(case("eks"), "Deployment", name)["spec"]["template"]["spec"]["containers"][0][
            "command"
        ]
        kept_s = int(command[command.index("--timeout-keep-alive") + 1])
        assert kept_s > idle_s, "its callers hear 502 when it sends on a connection that is being closed"


def test_routes_of_the_gateway_lead_to_the_services() -> None:
    objects = case("gateway")
    assert len(of_kind(objects, "HTTPRoute")) == 2
    assert [route["spec"]["hostnames"] for route in of_kind(objects, "GRPCRoute")] == [
        ["amt-grpc.example.com"]
    ]
    for route in of_kind(objects, "HTTPRoute", "GRPCRoute"):
        for backend in route["spec"]["rules"][0]["backendRefs"]:
            service = find(objects, "Service", backend["name"])
            assert backend["port"] in {port["port"] for port in service["spec"]["ports"]}


def test_rules_and_dashboards_of_the_project_are_installed() -> None:
    monitoring = CHART.parents[1] / "monitoring"
    made = render(CASES["eks"])
    rules = {each["metadata"]["name"]: each["spec"] for each in of_kind(made, "PrometheusRule")}
    for rule in (rule for spec in rules.values() for group in spec["groups"] for rule in group["rules"]):
        if "alert" in rule:
            assert rule["labels"].pop("namespace") == NAMESPACE
    assert rules == {
        f"copyist-rules-{path.stem}": yaml.safe_load(path.read_text())
        for path in (monitoring / "rules").glob("*.yaml")
    }
    installed = {each["metadata"]["name"] for each in of_kind(case("eks"), "ConfigMap")}
    assert installed >= {
        f"copyist-dashboard-{path.stem}" for path in (monitoring / "dashboards").glob("*.json")
    }


def test_rules_and_dashboards_laid_into_the_chart_are_installed(tmp_path: Path) -> None:
    chart = tmp_path / "copyist"
    shutil.copytree(CHART, chart)
    (chart / "files" / "rules").mkdir(exist_ok=True)
    (chart / "files" / "dashboards").mkdir(exist_ok=True)
    recorded = {"record": "a:b", "expr": 'sum(c{d="{{ e }}"})'}
    alert = {"alert": "A", "expr": "a:b > 1"}
    rules = {"groups": [{"name": "g", "rules": [recorded, alert]}]}
    (chart / "files" / "rules" / "own.yaml").write_text(yaml.safe_dump(rules))
    (chart / "files" / "dashboards" / "own.json").write_text('{"title": "{{ not a template }}"}\n')
    objects = render(merged(CASES["eks"]), chart=chart)
    rule = find(objects, "PrometheusRule", "copyist-rules-own")
    labelled = {**alert, "labels": {"namespace": NAMESPACE}}
    assert rule["spec"]["groups"] == [{"name": "g", "rules": [recorded, labelled]}]
    assert rule["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    dashboard = find(objects, "ConfigMap", "copyist-dashboard-own")
    assert dashboard["data"] == {"own.json": '{"title": "{{ not a template }}"}\n'}
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert problems(rule) == problems(dashboard) == []
