"""Values: what is refused, and how; that each is described; and that the chart lints and packs."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import helm_python as helm
import jsonschema
import pytest

from charts import document
from tests.charts.rendering import CASES, CHART, VALUES_FILES, case, merged, notes, of_kind, render

#: Values that do not go together, beside sound ones; and the remedy that is told.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no database": ({"database": {"existingSecret": {"name": ""}}}, "Name a secret with its URL"),
    "two databases": ({"database": {"url": "postgresql://db/c"}}, "Leave one of them empty"),
    "no files": ({"files": {"url": ""}}, "Set files.url to s3://BUCKET/PREFIX"),
    "folder that is not shared": ({"files": {"url": "/data/files"}}, "Set dataVolume.enabled"),
    "folder elsewhere": (
        {"files": {"url": "/elsewhere"}, "dataVolume": {"enabled": True}},
        "take a folder below dataVolume.mountPath",
    ),
    "SQLite that is not shared": (
        {"database": {"existingSecret": {"name": ""}, "url": "sqlite:////data/copyist.sqlite"}},
        "sqlite:////data/copyist.sqlite",
    ),
    "SQLite and many nodes": (
        {
            "database": {"existingSecret": {"name": ""}, "url": "sqlite:////data/copyist.sqlite"},
            "dataVolume": {"enabled": True},
            "autoscaling": {"engine": "hpa"},
        },
        "Use PostgreSQL",
    ),
    "no secrets to make": ({"externalSecrets": {"enabled": True}}, "List the secrets"),
    "two Tritons": ({"triton": {"externalUrl": "triton:8001"}}, "Switch triton.enabled off"),
    "no Triton": ({"triton": {"enabled": False}}, "name another one in triton.externalUrl"),
    "Triton ends too soon": (
        {"triton": {"preStopSeconds": 30}},
        "Set it to triton.connectionSeconds + 15 (45)",
    ),
    "Triton is never replaced": (
        {"triton": {"strategy": {"rollingUpdate": {"maxSurge": 0}}}},
        "Set maxSurge (needs a free GPU) or maxUnavailable",
    ),
    "two engine caches": (
        {"triton": {"engineCache": {"create": True, "existingClaim": "a"}}},
        "Leave one of them",
    ),
    "sync without Triton": (
        {
            "triton": {"enabled": False, "externalUrl": "t:1"},
            "modelSync": {"enabled": True, "url": "s3://models"},
        },
        "Set triton.enabled, or switch modelSync off",
    ),
    "sync from nowhere": ({"modelSync": {"enabled": True}}, "modelSync.url must be s3://BUCKET/PREFIX"),
    "watching no release": (
        {"releaseWatch": {"enabled": True}},
        "nothing is released. Set modelSync.enabled",
    ),
    "a trigger of nothing": (
        {"trigger": {"enabled": True, "existingSecret": {"name": "trigger"}}},
        "Set retraining.enabled",
    ),
    "a trigger for everybody": (
        {
            "modelSync": {"enabled": True, "url": "s3://models"},
            "retraining": {"enabled": True},
            "trigger": {"enabled": True},
        },
        "Name a secret with a token in trigger.existingSecret.name",
    ),
    "retraining for nobody": ({"retraining": {"enabled": True}}, "Set modelSync.enabled and modelSync.url"),
    "KEDA without metrics": ({"autoscaling": {"engine": "keda"}}, "Set monitoring.enabled"),
    "more than the most": (
        {"autoscaling": {"engine": "hpa"}, "amt": {"autoscaling": {"minReplicas": 11}}},
        "amt.autoscaling.minReplicas is above maxReplicas",
    ),
    "HPA to zero": ({"autoscaling": {"engine": "hpa"}}, "Set it to 1, or autoscaling.engine to keda"),
    "services to zero": (
        {
            "autoscaling": {"engine": "keda"},
            "monitoring": {"enabled": True},
            "omr": {"autoscaling": {"minReplicas": 0}},
        },
        "omr.autoscaling.minReplicas is 0, but then nobody takes requests",
    ),
    "one port for two": ({"amt": {"ports": {"http": 3001}}}, "amt.ports.http and grpc are the same"),
    "ingress without hosts": ({"ingress": {"enabled": True}}, "ingress.hosts.amt is missing"),
    "one host for two": (
        {"ingress": {"enabled": True, "hosts": {"amt": "a.example.com", "omr": "a.example.com"}}},
        "ingress.hosts has one host for both services",
    ),
    "gateway without hosts": (
        {"gateway": {"enabled": True, "parentRefs": [{"name": "g"}]}},
        "gateway.hosts.omr is missing",
    ),
    "gateway without a Gateway": (
        {"gateway": {"enabled": True, "hosts": {"amt": "a.example.com", "omr": "o.example.com"}}},
        "Name the one that takes the routes",
    ),
    "gRPC at a host for HTTP": (
        {"gateway": {"hosts": {"amt": "a.example.com"}, "grpcHosts": {"amt": "a.example.com"}}},
        "take another host for gRPC",
    ),
    "load balancer that nobody lets in": (
        {
            "ingress": {
                "enabled": True,
                "className": "alb",
                "hosts": {"amt": "a.example.com", "omr": "o.example.com"},
            }
        },
        "Add an ipBlock with the VPC's CIDR to networkPolicy.clients",
    ),
}
#: Values that are wrong by themselves.
UNKNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "misspelt": ({"amt": {"replica": 3}}, "replica"),
    "misspelt part": ({"tritn": {}}, "tritn"),
    "unknown setting": ({"settings": {"maxPage": 1}}, "maxPage"),
    "text for a number": ({"amt": {"replicas": "3"}}, "replicas"),
    "zero where the programs want more": ({"settings": {"maxPages": 0}}, "maxPages"),
    "unknown engine": ({"autoscaling": {"engine": "vpa"}}, "engine"),
    "no digest": ({"image": {"digest": "sha256:1"}}, "digest"),
    "privileged port": ({"amt": {"ports": {"http": 80}}}, "http"),
    "no limit of memory": ({"amt": {"resources": {"limits": {"memory": None}}}}, "memory"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_contradict_each_other_are_refused_with_the_remedy(name: str) -> None:
    values, remedy = REFUSED[name]
    with pytest.raises(helm.HelmRenderError) as refusal:
        render(merged(CASES["defaults"], values))
    assert remedy in str(refusal.value)


def test_all_contradictions_are_told_at_once() -> None:
    with pytest.raises(helm.HelmRenderError) as refusal:
        render({"autoscaling": {"engine": "keda"}})
    for remedy in ("There is no database", "There is no place for the files", "Set monitoring.enabled"):
        assert remedy in str(refusal.value)


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_and_unusable_values_are_refused_by_name(name: str) -> None:
    values, word = UNKNOWN[name]
    with pytest.raises(helm.HelmError, match=word):
        render(merged(CASES["defaults"], values))


@pytest.mark.parametrize("name", VALUES_FILES)
def test_helm_has_nothing_to_say_against_it(name: str) -> None:
    report = helm.lint(CHART, VALUES_FILES[name], strict=True, kube_version="v1.30.0")
    said = [message["error"] for message in report["messages"] if message["severity"] >= 2]
    assert said + report["errors"] == []


def test_the_chart_packs_and_is_the_same_out_of_the_package(tmp_path: Path) -> None:
    package = Path(helm.package(CHART, destination=tmp_path))
    metadata = helm.Chart.load(CHART).metadata
    assert package.name == f"copyist-{metadata['version']}.tgz"
    assert tuple(render(CASES["eks"], chart=package)) == case("eks")


def test_the_chart_installs_what_the_project_is() -> None:
    project = tomllib.loads((CHART.parents[1] / "pyproject.toml").read_text())["project"]
    assert helm.Chart.load(CHART).metadata["appVersion"] == project["version"]


def test_what_is_made_of_other_files_is_as_they_say() -> None:
    wanted = document.made(CHART)
    assert {path.name for path in wanted} >= {"README.md", "values.schema.json", "serving.yaml"}
    assert {path: path.read_text() for path in wanted} == wanted
    present = set(CHART.glob("files/*/*"))
    assert present <= wanted.keys()


def test_every_value_is_described_and_no_other_is_taken() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for value in document.values(CHART):
        found = document.property_of(schema, value.path)
        assert value.description or found.get("description"), ".".join(value.path)

    def objects(node: Any) -> list[dict[str, Any]]:
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
        own = [node] if isinstance(node, dict) and "properties" in node and "type" in node else []
        return own + [found for child in children for found in objects(child)]

    # Helm itself passes values down to subcharts in `global`, so that one takes more.
    loose = [node for node in objects(schema) if node.get("additionalProperties") is not False]
    assert loose == [schema["properties"]["global"]]


def test_notes_say_how_to_go_on() -> None:
    assert "copyist keys create" in notes(CASES["defaults"])
    assert "helm test" in notes(CASES["no-auth"])
    assert "NOBODY IS ASKED FOR A KEY" in notes(CASES["no-auth"])
    assert "tests.apiKeySecret" in notes(CASES["defaults"])
    assert "https://amt.copyist.example.com" in notes(CASES["eks"])


def test_the_migration_brings_what_it_needs_before_anything_else_is_there() -> None:
    def weight(each: dict[str, Any]) -> int:
        return int(each["metadata"]["annotations"]["helm.sh/hook-weight"])

    hooks = {
        f"{each['kind']} {each['metadata']['name']}": each
        for each in case("eks")
        if "pre-install" in each["metadata"].get("annotations", {}).get("helm.sh/hook", "")
    }
    assert set(hooks) == {
        "ExternalSecret copyist-database",
        "ExternalSecret copyist-webhooks",
        "ServiceAccount copyist-migrate",
        "NetworkPolicy copyist-migrate",
        "Job copyist-migrate",
    }
    job = hooks.pop("Job copyist-migrate")
    assert all(weight(each) < weight(job) for each in hooks.values())
    assert job["spec"]["template"]["spec"]["containers"][0]["command"] == ["copyist", "migrate"]
    assert not of_kind(case("dev"), "Job")  # SQLite is migrated by the programs


def test_a_recording_and_a_page_are_sent_to_the_services() -> None:
    (pod,) = of_kind(case("key-for-tests"), "Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    commands = [container["command"] for container in pod["spec"]["containers"]]
    assert [command[1] for command in commands] == ["transcribe", "recognize"]
    assert "--url=http://copyist-amt:3000" in commands[0]
    assert "--url=http://copyist-omr:3002" in commands[1]
    samples = CHART.parents[1] / "services" / "client" / "samples"
    for command in commands:
        assert (samples / Path(command[2]).name).exists()
        assert "services/client/samples" in command[2]
