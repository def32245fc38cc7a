"""Copyist's chart with an overlay's values fits the cluster that the overlay and cluster.yaml describe."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import yaml

from services.cluster.marks import MANAGED_BY
from tests.charts.kinds import problems
from tests.charts.rendering import VALUES_FILES, Object, containers, merged, of_kind, pod_templates, render
from tests.k8s.manifests import K8S, OVERLAYS, cluster, one, site, template

MEBIBYTES = {"Mi": 1, "Gi": 1024}


@cache
def values(overlay: str) -> dict[str, Any]:
    """All values that `helm upgrade` gets."""
    return merged(
        VALUES_FILES["eks"], yaml.safe_load((K8S / "overlays" / overlay / "copyist.yaml").read_text())
    )


@cache
def release(overlay: str) -> tuple[Object, ...]:
    """What the chart makes of them."""
    return tuple(render(values(overlay), namespace="copyist"))


@cache
def largest(overlay: str) -> tuple[Object, ...]:
    """The same with everything that can be switched on."""
    on: dict[str, Any] = {
        name: {"enabled": True} for name in ("modelSync", "retraining", "releaseWatch", "trigger")
    }
    on["trigger"]["existingSecret"] = {"name": "trigger"}
    return tuple(render(merged(values(overlay), on), namespace="copyist"))


def millicores(text: Any) -> int:
    """A quantity of CPU."""
    return int(str(text)[:-1]) if str(text).endswith("m") else int(float(text) * 1000)


def mebibytes(text: Any) -> int:
    """A quantity of memory."""
    return int(str(text)[:-2]) * MEBIBYTES[str(text)[-2:]]


def asked(spec: Object) -> tuple[int, int, int]:
    """Millicores, mebibytes and GPUs that one pod asks for; sidecars count, what only starts does not."""
    lasting = [
        c
        for c in containers(spec)
        if c not in spec["spec"].get("initContainers", []) or c.get("restartPolicy") == "Always"
    ]
    requests = [c["resources"]["requests"] | c["resources"].get("limits", {}) for c in lasting]
    wanted = [c["resources"]["requests"] for c in lasting]
    return (
        sum(millicores(each["cpu"]) for each in wanted),
        sum(mebibytes(each["memory"]) for each in wanted),
        sum(int(each.get("nvidia.com/gpu", 0)) for each in requests),
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
class TestOverlay:
    def test_every_object_is_what_its_kind_allows(self, overlay: str) -> None:
        assert [problem for each in largest(overlay) for problem in problems(each)] == []

    def test_names_of_the_account_and_the_cluster_are_those_of_the_site(self, overlay: str) -> None:
        facts = site(overlay)
        given, account = values(overlay), facts["AWS_ACCOUNT_ID"]
        registry = f"{account}.dkr.ecr.{facts['AWS_REGION']}.amazonaws.com/{facts['CLUSTER']}"
        assert given["image"]["registry"] == given["retraining"]["image"]["registry"] == registry
        assert given["files"]["url"] == f"s3://{facts['CLUSTER']}-files-{account}/jobs"
        assert given["modelSync"]["url"] == f"s3://{facts['CLUSTER']}-models-{account}/models"
        assert given["networkPolicy"]["database"]["to"] == [
            {"ipBlock": {"cidr": cluster(overlay)["vpc"]["cidr"]}}
        ]

    def test_images_come_from_the_registries_that_are_made(self, overlay: str) -> None:
        names = {
            resource["Properties"]["RepositoryName"]["Fn::Sub"].split("/", 1)[1]
            for resource in template("access")["Resources"].values()
            if resource["Type"] == "AWS::ECR::Repository"
        }
        prefix = values(overlay)["image"]["registry"] + "/"
        used = {c["image"] for _, spec in pod_templates(largest(overlay)) for c in containers(spec)}
        ours = {image.removeprefix(prefix).split(":")[0] for image in used if image.startswith(prefix)}
        assert ours == names == {"copyist", "copyist-training"}

    def test_secrets_are_asked_for_by_the_names_that_they_are_made_with(self, overlay: str) -> None:
        made = {
            resource["Properties"]["Name"]["Fn::Sub"].replace("${Cluster}", site(overlay)["CLUSTER"])
            for resource in template("data")["Resources"].values()
            if resource["Type"] == "AWS::SecretsManager::Secret"
        }
        wanted = {
            entry["remoteRef"]["key"]
            for secret in of_kind(release(overlay), "ExternalSecret")
            for entry in secret["spec"]["data"]
        }
        assert wanted
        assert wanted <= made
        for secret in of_kind(release(overlay), "ExternalSecret"):
            store = secret["spec"]["secretStoreRef"]
            assert one(overlay, store["kind"], store["name"])

    def test_every_account_that_aws_knows_is_one_of_the_charts(self, overlay: str) -> None:
        accounts = {each["metadata"]["name"] for each in of_kind(largest(overlay), "ServiceAccount")}
        bound = {
            association["serviceAccountName"]
            for association in cluster(overlay)["iam"]["podIdentityAssociations"]
            if association["namespace"] == "copyist"
        }
        assert bound <= accounts
        # Who runs but has no rights at AWS: migrations reach the database alone, tests the services, the
        # trigger the database and Kubernetes.
        assert all(name.endswith(("-migrate", "-test", "-trigger")) for name in accounts - bound)

    def test_claims_name_storage_classes_that_are_made(self, overlay: str) -> None:
        for claim in of_kind(largest(overlay), "PersistentVolumeClaim"):
            name = claim["spec"]["storageClassName"]
            (access,) = claim["spec"]["accessModes"]
            assert one(overlay, "StorageClass", name)["provisioner"].startswith(
                {"ReadWriteMany": "efs", "ReadWriteOnce": "ebs"}[access]
            )

    def test_triton_fits_the_gpu_nodes_and_no_others(self, overlay: str) -> None:
        (spec,) = [
            t["spec"] for where, t in pod_templates(release(overlay)) if where.endswith("copyist-triton")
        ]
        pool = one(overlay, "NodePool", "gpu")["spec"]["template"]
        keys = {t["key"] for t in spec["tolerations"]}
        assert {taint["key"] for taint in pool["spec"]["taints"]} <= keys
        (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
            "nodeSelectorTerms"
        ]
        for needed in term["matchExpressions"]:
            assert pool["metadata"]["labels"][needed["key"]] in needed["values"]
        training = one(overlay, "NodePool", "training")["spec"]["template"]["spec"]["taints"]
        assert not {taint["key"] for taint in training} <= keys
        # g6.xlarge, the smallest: 4 cores and 16 GiB, of which the system keeps some.
        cpu, memory, gpus = asked({"spec": spec})
        assert cpu <= 3500
        assert memory <= 14 * 1024
        assert gpus == 1

    @pytest.mark.parametrize("gpus", [1, 4])
    def test_training_fits_the_nodes_of_training_and_no_others(self, overlay: str, gpus: int) -> None:
        training = {"gpu": {"count": gpus}, "enabled": True}
        objects = render(merged(values(overlay), {"modelSync": {"enabled": True}, "retraining": training}))
        (manifests,) = (
            each
            for each in of_kind(objects, "ConfigMap")
            if each["metadata"]["name"] == "copyist-retrain-jobs"
        )
        spec = yaml.safe_load(manifests["data"]["gpu.yaml"])["spec"]["template"]["spec"]
        keys = {t["key"] for t in spec["tolerations"]}
        pool = one(overlay, "NodePool", "training")["spec"]
        assert {taint["key"] for taint in pool["template"]["spec"]["taints"]} <= keys
        assert spec["nodeSelector"].items() <= pool["template"]["metadata"]["labels"].items()
        assert not spec["nodeSelector"].items() <= (
            one(overlay, "NodePool", "gpu")["spec"]["template"]["metadata"]["labels"].items()
        )
        counts = next(
            each["values"]
            for each in pool["template"]["spec"]["requirements"]
            if each["key"] == "karpenter.k8s.aws/instance-gpu-count"
        )
        assert str(gpus) in counts
        assert gpus <= int(pool["limits"]["nvidia.com/gpu"])
        # g6.2xlarge, the smallest: 8 cores and 32 GiB, of which the system keeps some.
        cpu, memory, asked_gpus = asked({"spec": spec})
        assert (cpu <= 7500, memory <= 28 * 1024, asked_gpus) == (True, True, gpus)

    def test_all_that_may_run_at_once_is_within_the_quota_and_the_nodes(self, overlay: str) -> None:
        scaled = {
            each["spec"]["scaleTargetRef"]["name"]: each["spec"]["maxReplicaCount"]
            for each in of_kind(release(overlay), "ScaledObject")
        }
        cpu = memory = gpus = pods = 0
        for workload in of_kind(release(overlay), "Deployment", "StatefulSet"):
            replicas = scaled[workload["metadata"]["name"]]
            one_cpu, one_memory, one_gpu = asked(workload["spec"]["template"])
            cpu, memory = cpu + replicas * one_cpu, memory + replicas * one_memory
            gpus, pods = gpus + replicas * one_gpu, pods + replicas
        quota = one(overlay, "ResourceQuota", "copyist")["spec"]["hard"]
        assert cpu <= millicores(quota["requests.cpu"])
        assert memory <= mebibytes(quota["requests.memory"])
        # A rollout has one pod more of each.
        assert gpus + 1 <= int(quota["requests.nvidia.com/gpu"])
        assert pods + len(scaled) <= int(quota["pods"])
        general = one(overlay, "NodePool", "general")["spec"]["limits"]
        assert cpu <= millicores(general["cpu"])
        assert memory <= mebibytes(general["memory"])
        # Two pods take turns on one GPU.
        assert gpus <= 2 * int(one(overlay, "NodePool", "gpu")["spec"]["limits"]["nvidia.com/gpu"])


def test_the_clusters_alertmanager_takes_the_charts_configuration_for_alerts_of_its_namespace() -> None:
    addon = yaml.safe_load((K8S / "addons" / "kube-prometheus-stack.yaml").read_text())
    spec = addon["alertmanager"]["alertmanagerSpec"]
    # Empty selectors select everything; that of labels is empty unless it is given.
    assert spec["alertmanagerConfigNamespaceSelector"] == {}
    assert "alertmanagerConfigSelector" not in spec
    assert spec["alertmanagerConfigMatcherStrategy"] == {"type": "OnNamespace"}
    assert len(of_kind(largest("production"), "AlertmanagerConfig")) == 1
    for each in of_kind(largest("production"), "AlertmanagerConfig", "PrometheusRule"):
        assert each["metadata"]["namespace"] == "copyist"
        for group in each["spec"].get("groups", []):
            namespaces = {rule["labels"]["namespace"] for rule in group["rules"] if "alert" in rule}
            assert namespaces <= {"copyist"}


def test_jobs_that_the_code_starts_are_told_from_the_charts_own() -> None:
    for each in largest("production"):
        assert (
            each["metadata"]["labels"]["app.kubernetes.io/managed-by"]
            != MANAGED_BY["app.kubernetes.io/managed-by"]
        )
