"""Pods: what PodSecurity `restricted` asks, what they take, how one sees that they live, how they end."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.charts.rendering import (
    CASES,
    Object,
    case,
    containers,
    environment,
    find,
    merged,
    of_kind,
    pod_templates,
    render,
)

PODS = [pytest.param(name, id=name) for name in CASES]
_QUANTITY = re.compile(r"^(\d+(?:\.\d+)?)(m|Ki|Mi|Gi)?$")
#: Volumes that PodSecurity `restricted` lets through.
_VOLUMES = {
    "configMap",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def amount(quantity: str) -> float:
    """A quantity of Kubernetes as a number."""
    match = _QUANTITY.match(str(quantity))
    assert match, quantity
    return float(match[1]) * {None: 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}[match[2]]


@pytest.mark.parametrize("name", PODS)
def test_pods_are_what_restricted_asks(name: str) -> None:
    for where, template in pod_templates(case(name)):
        spec = template["spec"]
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, where
        assert security["runAsUser"] > 0, where
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), where
        for volume in spec.get("volumes", []):
            assert volume.keys() - {"name"} <= _VOLUMES, where
        for container in containers(template):
            held = container["securityContext"]
            assert held["allowPrivilegeEscalation"] is False, where
            assert held["capabilities"] == {"drop": ["ALL"]}, where
            assert held["readOnlyRootFilesystem"] is True, where
            assert "hostPort" not in str(container.get("ports", [])), where


@pytest.mark.parametrize("name", PODS)
def test_only_pods_that_speak_with_kubernetes_get_a_token(name: str) -> None:
    bound = {
        subject["name"] for binding in of_kind(case(name), "RoleBinding") for subject in binding["subjects"]
    }
    for where, template in pod_templates(case(name)):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is (spec["serviceAccountName"] in bound), where


@pytest.mark.parametrize("name", PODS)
def test_every_container_says_what_it_needs_and_may_take(name: str) -> None:
    for where, template in pod_templates(case(name)):
        for container in containers(template):
            requests, limits = container["resources"]["requests"], container["resources"]["limits"]
            assert amount(requests["cpu"]) > 0, where
            assert 0 < amount(requests["memory"]) <= amount(limits["memory"]), where
            assert "cpu" not in limits, where


@pytest.mark.parametrize("name", PODS)
def test_pods_that_write_much_ask_for_room_on_the_nodes_disk(name: str) -> None:
    for where, template in pod_templates(case(name)):
        volumes = [volume.get("emptyDir", {}) for volume in template["spec"].get("volumes", [])]
        room = sum(amount(each.get("sizeLimit", 0)) for each in volumes if each.get("medium") != "Memory")
        requests = [container["resources"]["requests"] for container in containers(template)]
        asked = sum(amount(each.get("ephemeral-storage", 0)) for each in requests)
        assert room < 2**30 or 2**30 <= asked <= room, where


@pytest.mark.parametrize("name", PODS)
def test_all_that_is_written_has_a_place_of_limited_size(name: str) -> None:
    for where, template in pod_templates(case(name)):
        volumes = {volume["name"]: volume for volume in template["spec"].get("volumes", [])}
        for volume in volumes.values():
            assert "emptyDir" not in volume or amount(volume["emptyDir"]["sizeLimit"]) > 0, where
        for container in containers(template):
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert set(mounts.values()) <= volumes.keys(), where
            variables = environment(case(name), container)
            if "HOME" in variables:
                assert variables["HOME"] in mounts, where


@pytest.mark.parametrize("name", PODS)
def test_images_are_pinned(name: str) -> None:
    for where, template in pod_templates(case(name)):
        for container in containers(template):
            tag = container["image"].partition("@")[0].rpartition(":")[2]
            assert re.match(r"\d", tag), f"{where}: {container['image']}"


def test_a_mirror_and_digests_reach_every_image() -> None:
    for where, template in pod_templates(case("mirror")):
        assert template["spec"]["imagePullSecrets"] == [{"name": "pull"}, {"name": "pull-too"}], where
        for container in containers(template):
            assert container["image"].startswith("mirror.example.com/"), where
            assert "@sha256:" in container["image"], where


@pytest.mark.parametrize("name", PODS)
def test_what_serves_is_asked_how_it_is(name: str) -> None:
    for kind in of_kind(case(name), "Deployment", "StatefulSet"):
        for container in containers(kind["spec"]["template"], starting=False):
            ports = {port["name"] for port in container["ports"]}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                # What Triton says of all versions together must not decide where new ones come and go.
                if "exec" not in container[probe] or container["name"] != "triton":
                    assert container[probe]["httpGet"]["port"] in ports, kind["metadata"]["name"]


def waits(template: Object) -> tuple[int, int]:
    """Seconds before a pod's program hears that it is to stop, and seconds until it is ended."""
    (container,) = template["spec"]["containers"]
    before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    return before, template["spec"]["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("drain_s", [1, 30, 600])
@pytest.mark.parametrize("name", ["defaults", "dev", "eks"])
def test_programs_may_finish_before_they_are_ended(name: str, drain_s: int) -> None:
    objects = render(merged(CASES[name], {"settings": {"drainS": drain_s}}))
    for kind in of_kind(objects, "Deployment", "StatefulSet"):
        before, until = waits(kind["spec"]["template"])
        if kind["metadata"]["name"].endswith("-triton"):
            finishing = argument(kind, "--exit-timeout-secs")
        else:
            (container,) = kind["spec"]["template"]["spec"]["containers"]
            finishing = int(environment(objects, container)["COPYIST_DRAIN_S"])
        assert until > before + finishing, kind["metadata"]["name"]


def argument(triton: Object, name: str) -> int:
    """The value of one of Triton's arguments."""
    (container,) = triton["spec"]["template"]["spec"]["containers"]
    (value,) = [each.partition("=")[2] for each in container["args"] if each.startswith(f"{name}=")]
    return int(value)


@pytest.mark.parametrize("name", ["defaults", "dev", "eks"])
def test_clients_have_left_a_triton_that_stops(name: str) -> None:
    triton = find(case(name), "Deployment", "copyist-triton")
    before, _ = waits(triton["spec"]["template"])
    # 10 % of jitter on a connection's age, and 5 s for which names are remembered.
    assert before >= 1.1 * argument(triton, "--grpc-max-connection-age") / 1000 + 5


@pytest.mark.parametrize("name", PODS)
def test_services_and_triton_are_replaced_without_a_gap(name: str) -> None:
    for kind in of_kind(case(name), "Deployment"):
        rolling = kind["spec"]["strategy"]["rollingUpdate"]
        if name.startswith("dev") and kind["metadata"]["name"].endswith("-triton"):
            assert rolling == {"maxSurge": 0, "maxUnavailable": 1}  # one GPU
        else:
            assert rolling == {"maxSurge": 1, "maxUnavailable": 0}


def test_triton_ends_within_the_notice_that_spot_nodes_give() -> None:
    _, until = waits(find(case("eks"), "Deployment", "copyist-triton")["spec"]["template"])
    assert until < 120


def test_pods_start_anew_when_a_setting_changes() -> None:
    def checksums(values: dict[str, Any]) -> set[str]:
        return {
            template["metadata"]["annotations"]["checksum/settings"]
            for where, template in pod_templates(render(values))
            if where.startswith(("Deployment copyist-amt", "StatefulSet"))
        }

    changed = merged(CASES["defaults"], {"settings": {"maxPages": 7}})
    assert len(checksums(CASES["defaults"])) == 1
    assert checksums(CASES["defaults"]) != checksums(changed)


def test_workers_keep_their_names() -> None:
    for name in ("copyist-amt-worker", "copyist-omr-worker"):
        worker = find(case("defaults"), "StatefulSet", name)
        (container,) = worker["spec"]["template"]["spec"]["containers"]
        (identity,) = [each for each in container["env"] if each["name"] == "COPYIST_WORKER_ID"]
        assert identity["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_extras_arrive() -> None:
    objects = case("extras")
    amt = find(objects, "Deployment", "copyist-amt")["spec"]["template"]
    (container,) = amt["spec"]["containers"]
    assert environment(objects, container).items() >= {("EVERYWHERE", "1"), ("HERE", "1")}
    assert {"secretRef": {"name": "more"}} in container["envFrom"]
    assert {"name": "fonts", "mountPath": "/fonts", "readOnly": True} in container["volumeMounts"]
    assert amt["metadata"]["labels"]["colour"] == "blue"
    assert amt["metadata"]["annotations"]["note"] == "x"
    assert amt["spec"]["nodeSelector"] == {"pool": "cpu"}
    assert amt["spec"]["priorityClassName"] == "mine"
    assert find(objects, "ConfigMap", "copyist-more")
    assert find(objects, "ConfigMap", "copyist-text")
    worker = find(objects, "StatefulSet", "copyist-omr-worker")["spec"]["template"]
    assert environment(objects, worker["spec"]["containers"][0])["EVERYWHERE"] == "1"
    migration = find(objects, "Job", "copyist-migrate")["spec"]["template"]["spec"]
    assert {"name": "fonts", "configMap": {"name": "fonts"}} in migration["volumes"]
    assert "/fonts" in {mount["mountPath"] for mount in migration["containers"][0]["volumeMounts"]}


def test_triton_gets_gpus_and_nodes_that_have_them() -> None:
    spec = find(case("eks"), "Deployment", "copyist-triton")["spec"]["template"]["spec"]
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]
    assert "nvidia.com/gpu.present" in str(spec["affinity"]["nodeAffinity"])
    without = find(case("eks-cpu"), "Deployment", "copyist-triton")["spec"]["template"]["spec"]
    assert "nvidia.com" not in str(without)
