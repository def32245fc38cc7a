"""Every object that the chart makes is what Kubernetes takes."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.charts.kinds import problems
from tests.charts.rendering import CASES, case, find, render


@pytest.mark.parametrize("name", CASES)
def test_every_object_is_valid(name: str) -> None:
    assert [problem for each in case(name) for problem in problems(each)] == []


@pytest.mark.parametrize("name", CASES)
def test_no_two_objects_have_one_name(name: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in case(name)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", CASES)
def test_every_object_carries_the_labels_that_tell_whose_it_is(name: str) -> None:
    for each in case(name):
        if each["metadata"]["name"].endswith(("-more", "-text")):  # the user's own, of the case "extras"
            continue
        assert each["metadata"]["labels"].items() >= {
            ("app.kubernetes.io/name", "copyist"),
            ("app.kubernetes.io/instance", "copyist"),
            ("app.kubernetes.io/managed-by", "Helm"),
        }


def test_names_fit_however_long_the_releases_name_is() -> None:
    longest = "a-release-with-a-name-as-long-as-helm-lets-it-be-here"
    for values in (CASES["eks"], CASES["retraining"]):
        for each in render(values, name=longest):
            limit = {"CronJob": 52, "ConfigMap": 253, "PriorityClass": 253}.get(each["kind"], 63)
            assert len(each["metadata"]["name"]) <= limit, each["metadata"]["name"]
            assert problems(each) == []


def test_a_wrong_field_of_a_known_and_of_a_custom_kind_is_found() -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"portz": []}}
    assert any("portz" in problem for problem in problems(service))
    monitor = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {"name": "a"},
        "spec": {"selector": {}, "endpoints": [{"prot": "http"}]},
    }
    assert any("prot" in problem for problem in problems(monitor))
    alerting = deepcopy(find(case("operators"), "AlertmanagerConfig", "copyist-alerts"))
    assert problems(alerting) == []
    alerting["spec"]["route"]["group_by"] = alerting["spec"]["route"].pop("groupBy")
    del alerting["spec"]["receivers"]
    found = problems(alerting)
    assert any("group_by" in problem for problem in found)
    assert any("receivers" in problem for problem in found)
    assert problems({"apiVersion": "example.com/v1", "kind": "Unheard", "metadata": {"name": "a"}})


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parent / "schemas").glob("*.json")), ids=lambda p: p.stem
)
def test_schemas_of_custom_kinds_are_sound_and_take_no_unknown_fields(path: Path) -> None:
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["spec"]["additionalProperties"] is False
