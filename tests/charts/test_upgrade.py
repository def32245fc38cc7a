"""An upgrade changes nothing that Kubernetes lets nobody change: neither a new version nor other values."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest

from services.runtime.release.config_map_board import FIRST_KEY, HISTORY_KEY, MANIFEST_KEY
from services.runtime.release.manifest import Manifest
from tests.charts.released import RELEASED, unchangeable
from tests.charts.rendering import CASES, CHART, VALUES_FILES, case, find, merged, pod_templates, render


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The objects that are in both and would have to be deleted first."""
    return [name for name in before.keys() & after.keys() if before[name] != after[name]]


@pytest.mark.parametrize("path", sorted(RELEASED.glob("*.json")), ids=lambda path: path.stem)
@pytest.mark.parametrize("name", VALUES_FILES)
def test_an_upgrade_from_every_released_version_goes_through(path: Path, name: str) -> None:
    before = json.loads(path.read_text())[name]
    assert before
    assert changes(before, json.loads(json.dumps(unchangeable(case(name))))) == []


def test_values_can_be_switched_back_and_forth() -> None:
    made = {name: unchangeable(case(name)) for name in CASES}
    # A claim's class and modes are what one chooses once.
    for objects in made.values():
        for name in [name for name in objects if name.startswith("PersistentVolumeClaim")]:
            del objects[name]
    for one, other in combinations(made, 2):
        assert changes(made[one], made[other]) == [], f"{one} to {other}"


def test_labels_that_change_with_versions_are_in_no_selector() -> None:
    for each in case("eks"):
        if each["kind"] in ("Deployment", "StatefulSet"):
            assert set(each["spec"]["selector"]["matchLabels"]) == {
                "app.kubernetes.io/name",
                "app.kubernetes.io/instance",
                "app.kubernetes.io/component",
            }


def test_a_new_chart_does_not_replace_pods_that_stay_the_same(tmp_path: Path) -> None:
    newer = Path(helm.package(CHART, destination=tmp_path, version="99.0.0"))
    objects = render(CASES["eks"], chart=newer)
    assert "copyist-99.0.0" in objects[0]["metadata"]["labels"]["helm.sh/chart"]
    running = [(where, pod) for where, pod in pod_templates(objects) if not where.startswith("Job")]
    assert running == [
        (where, pod) for where, pod in pod_templates(case("eks")) if not where.startswith("Job")
    ]


def test_a_changed_selector_would_be_found() -> None:
    renamed = unchangeable(
        render(merged(CASES["eks"], {"nameOverride": "other", "fullnameOverride": "copyist"}))
    )
    assert "Deployment copyist-amt" in changes(unchangeable(case("eks")), renamed)


def test_neither_a_rollback_nor_an_upgrade_writes_over_what_was_released() -> None:
    # Where the two differ, Helm writes what the chart has over what is there.
    data = find(case("model-sync"), "ConfigMap", "copyist-release")["data"]
    assert not data.keys() & {MANIFEST_KEY, HISTORY_KEY}
    assert Manifest.decode(data[FIRST_KEY]).revision == 0


def test_what_holds_data_outlives_the_release() -> None:
    for name, kind, of_case in (
        ("copyist-data", "PersistentVolumeClaim", "dev"),
        ("copyist-release", "ConfigMap", "model-sync"),
    ):
        annotations = find(case(of_case), kind, name)["metadata"]["annotations"]
        assert annotations["helm.sh/resource-policy"] == "keep"
    for secret in (each for each in case("eks") if each["kind"] == "ExternalSecret"):
        assert secret["spec"]["target"]["creationPolicy"] == "Orphan"
        assert secret["spec"]["target"]["deletionPolicy"] == "Retain"
