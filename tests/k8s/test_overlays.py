"""What the overlays send to the cluster is valid, and fits the chart and the nodes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.charts.kinds import problems
from tests.k8s.manifests import OVERLAYS, one, rendered, site

NODEPOOLS = ("general", "gpu", "training")


@pytest.mark.parametrize("overlay", OVERLAYS)
class TestOverlay:
    def test_every_object_is_what_its_kind_allows(self, overlay: str) -> None:
        objects = rendered(overlay)
        assert len(objects) == 10
        assert [problem for each in objects for problem in problems(each)] == []

    def test_nothing_is_left_to_be_filled_in(self, overlay: str) -> None:
        def texts(value: Any) -> list[str]:
            if isinstance(value, dict):
                return [text for each in value.values() for text in texts(each)]
            if isinstance(value, list):
                return [text for each in value for text in texts(each)]
            return [str(value)]

        placeholders = set(site(overlay))
        for each in rendered(overlay):
            for text in texts(each):
                assert not any(placeholder in text for placeholder in placeholders), text

    def test_the_site_is_where_it_belongs(self, overlay: str) -> None:
        facts = site(overlay)
        for name in ("general", "gpu"):
            spec = one(overlay, "EC2NodeClass", name)["spec"]
            found = [{"tags": {"karpenter.sh/discovery": facts["CLUSTER"]}}]
            assert spec["role"] == f"KarpenterNodeRole-{facts['CLUSTER']}"
            assert spec["subnetSelectorTerms"] == spec["securityGroupSelectorTerms"] == found
        store = one(overlay, "ClusterSecretStore", "aws")["spec"]["provider"]["aws"]
        assert store == {"service": "SecretsManager", "region": facts["AWS_REGION"]}
        assert one(overlay, "StorageClass", "efs")["parameters"]["fileSystemId"] == facts["FILE_SYSTEM"]

    def test_no_object_says_where_its_values_came_from(self, overlay: str) -> None:
        assert not any(each["kind"] == "ConfigMap" for each in rendered(overlay))

    def test_every_pool_has_its_class_a_limit_and_instances_of_one_architecture(self, overlay: str) -> None:
        classes = {each["metadata"]["name"] for each in rendered(overlay) if each["kind"] == "EC2NodeClass"}
        for name in NODEPOOLS:
            spec = one(overlay, "NodePool", name)["spec"]
            assert spec["template"]["spec"]["nodeClassRef"]["name"] in classes
            assert spec["limits"]
            needs = {r["key"]: r["values"] for r in spec["template"]["spec"]["requirements"]}
            assert needs["kubernetes.io/arch"] == ["amd64"]

    def test_gpu_nodes_keep_others_away_and_are_found_by_what_needs_them(self, overlay: str) -> None:
        for name in ("gpu", "training"):
            template = one(overlay, "NodePool", name)["spec"]["template"]
            assert template["metadata"]["labels"]["nvidia.com/gpu.present"] == "true"
            assert {"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"} in template["spec"][
                "taints"
            ]
        assert not one(overlay, "NodePool", "general")["spec"]["template"]["spec"].get("taints")

    def test_running_training_is_never_moved(self, overlay: str) -> None:
        pool = one(overlay, "NodePool", "training")["spec"]
        assert pool["disruption"]["consolidationPolicy"] == "WhenEmpty"
        assert pool["template"]["spec"]["expireAfter"] == "Never"
        budgets = {reason: b["nodes"] for b in pool["disruption"]["budgets"] for reason in b["reasons"]}
        assert budgets == {"Empty": "100%", "Underutilized": "0", "Drifted": "0"}
        needs = {r["key"]: r["values"] for r in pool["template"]["spec"]["requirements"]}
        assert needs["karpenter.sh/capacity-type"] == ["on-demand"]

    def test_nodes_hide_their_own_rights_and_encrypt_their_disks(self, overlay: str) -> None:
        for name in ("general", "gpu"):
            spec = one(overlay, "EC2NodeClass", name)["spec"]
            assert spec["metadataOptions"]["httpTokens"] == "required"
            assert spec["metadataOptions"]["httpPutResponseHopLimit"] == 1
            assert all(mapping["ebs"]["encrypted"] for mapping in spec["blockDeviceMappings"])

    def test_the_namespace_is_restricted(self, overlay: str) -> None:
        labels = one(overlay, "Namespace", "copyist")["metadata"]["labels"]
        for mode in ("enforce", "warn", "audit"):
            assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"


def test_staging_and_production_pin_the_image_of_their_nodes() -> None:
    for overlay in ("staging", "production"):
        for name in ("general", "gpu"):
            (term,) = one(overlay, "EC2NodeClass", name)["spec"]["amiSelectorTerms"]
            assert term["alias"].startswith("al2023@v20")


def test_only_dev_runs_on_capacity_that_may_be_taken_back() -> None:
    for overlay in OVERLAYS:
        for name in ("general", "gpu"):
            requirements = one(overlay, "NodePool", name)["spec"]["template"]["spec"]["requirements"]
            (kinds,) = [r["values"] for r in requirements if r["key"] == "karpenter.sh/capacity-type"]
            assert ("spot" in kinds) is (overlay == "dev")


def test_there_is_one_default_storage_class() -> None:
    key = "storageclass.kubernetes.io/is-default-class"
    classes = [each for each in rendered("production") if each["kind"] == "StorageClass"]
    assert [c["metadata"]["name"] for c in classes if c["metadata"].get("annotations", {}).get(key)] == [
        "gp3"
    ]
