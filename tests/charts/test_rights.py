"""Service accounts and their rights: what the code calls, and no more."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from services.cluster.rules import CONFIG_MAP_READER, CONFIG_MAP_WRITER, CRON_JOB_STARTER, JOBS, Rule
from tests.charts.rendering import CASES, Object, case, find, of_kind, pod_templates


def rights(role: Object) -> set[tuple[str, str, str, str]]:
    """Each right alone: group, resource, name (empty for any), verb."""
    return {
        (group, resource, name, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def called(rules: Iterable[Rule]) -> set[tuple[str, str, str, str]]:
    """The rights that the code says it uses; for the release manifest alone where it is about ConfigMaps."""
    return {
        (rule.group, rule.resource, "copyist-release" if rule.resource == "configmaps" else "", verb)
        for rule in rules
        for verb in rule.verbs
    }


@pytest.mark.parametrize("name", CASES)
def test_accounts_that_pods_use_are_there(name: str) -> None:
    accounts = {each["metadata"]["name"] for each in of_kind(case(name), "ServiceAccount")}
    for where, template in pod_templates(case(name)):
        account = template["spec"]["serviceAccountName"]
        assert account in accounts | {"default", "mine"}, where
        if where.startswith(("Deployment", "StatefulSet", "CronJob")):
            assert account != "default", where


@pytest.mark.parametrize("name", CASES)
def test_rights_are_named_one_by_one_and_bound_within_the_namespace(name: str) -> None:
    assert not of_kind(case(name), "ClusterRole", "ClusterRoleBinding")
    for role in of_kind(case(name), "Role"):
        assert not {part for right in rights(role) for part in right if "*" in part}
        assert not {right for right in rights(role) if right[1] == "secrets"}
    for binding in of_kind(case(name), "RoleBinding"):
        assert find(case(name), "Role", binding["roleRef"]["name"])
        for subject in binding["subjects"]:
            assert find(case(name), "ServiceAccount", subject["name"])


def test_rights_are_what_the_code_calls_and_no_more() -> None:
    roles = {role["metadata"]["name"]: rights(role) for role in of_kind(case("operators"), "Role")}
    assert roles == {
        "copyist-release-reader": called(CONFIG_MAP_READER),
        "copyist-release-writer": called(CONFIG_MAP_WRITER),
        "copyist-retrain": called(JOBS),
        "copyist-trigger": called(CRON_JOB_STARTER),
    }


def test_who_serves_models_follows_the_manifest_and_who_releases_them_writes_it() -> None:
    bound = {
        binding["roleRef"]["name"]: {subject["name"] for subject in binding["subjects"]}
        for binding in of_kind(case("operators"), "RoleBinding")
    }
    serving = {f"copyist-{name}" for name in ("amt", "omr", "amt-worker", "omr-worker", "triton")}
    assert bound == {
        "copyist-release-reader": serving,
        "copyist-release-writer": {"copyist-release-watch", "copyist-retrain"},
        "copyist-retrain": {"copyist-retrain"},
        "copyist-trigger": {"copyist-trigger"},
    }


def test_nobody_has_rights_where_nobody_calls_kubernetes() -> None:
    assert not of_kind(case("defaults"), "Role", "RoleBinding")


def test_identities_of_aws_are_annotations() -> None:
    account = find(case("own-accounts"), "ServiceAccount", "copyist-omr")
    assert account["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}
    names = {each["metadata"]["name"] for each in of_kind(case("own-accounts"), "ServiceAccount")}
    assert "copyist-amt" not in names
