"""The AWS side: templates that AWS would take, rights that reach no further than they must."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.k8s.manifests import K8S, OVERLAYS, cluster, site, template

#: Actions that know no single resource would be here; Copyist's pods need none.
WITHOUT_RESOURCE: frozenset[str] = frozenset()
POLICIES = {
    name: resource["Properties"]
    for name, resource in template("access")["Resources"].items()
    if resource["Type"] == "AWS::IAM::ManagedPolicy"
}


def listed(value: Any) -> list[Any]:
    """A value that may be one or several."""
    return value if isinstance(value, list) else [value]


def test_aws_would_take_the_templates() -> None:
    linter = Path(sys.executable).with_name("cfn-lint")
    files = [str(path) for path in sorted((K8S / "aws").glob("*.yaml"))]
    done = subprocess.run([str(linter), *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("policy", POLICIES)
class TestPolicy:
    def test_it_allows_named_actions_on_named_resources(self, policy: str) -> None:
        for statement in POLICIES[policy]["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            assert "NotAction" not in statement and "NotResource" not in statement
            for action in listed(statement["Action"]):
                assert "*" not in action
                assert action in WITHOUT_RESOURCE or statement["Resource"] != "*"
            for resource in listed(statement["Resource"]):
                text = resource.get("Fn::Sub") or ".".join(listed(resource["Fn::GetAtt"]))
                # Below one prefix of one bucket, or of the account's secrets; or the bucket itself.
                assert re.fullmatch(
                    r"\$\{\w+\.Arn\}/[a-z]+/\*|\w+\.Arn|arn:.*:secret:\$\{Cluster\}/\*", text
                ), text

    def test_listing_is_limited_to_the_prefixes_that_may_be_read(self, policy: str) -> None:
        statements = POLICIES[policy]["PolicyDocument"]["Statement"]
        for statement in statements:
            if "s3:ListBucket" not in listed(statement["Action"]):
                continue
            prefixes = set(statement["Condition"]["StringLike"]["s3:prefix"])
            objects = [
                resource["Fn::Sub"].split("/")[1]
                for other in statements
                if "s3:GetObject" in listed(other["Action"])
                for resource in listed(other["Resource"])
            ]
            assert prefixes == {prefix for name in objects for prefix in (name, f"{name}/*")}


def test_only_what_must_can_write_or_delete() -> None:
    def actions(policy: str) -> set[str]:
        return {a for s in POLICIES[policy]["PolicyDocument"]["Statement"] for a in listed(s["Action"])}

    assert actions("ReadModelsPolicy") == {"s3:GetObject", "s3:ListBucket"}
    assert not any("Delete" in action for action in actions("MakeModelsPolicy"))
    assert actions("ReadSecretsPolicy") == {"secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"}


@pytest.mark.parametrize("name", ["FilesBucket", "ModelsBucket"])
def test_buckets_are_closed_encrypted_and_outlive_their_stack(name: str) -> None:
    resources = template("access")["Resources"]
    bucket = resources[name]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values())
    assert bucket["Properties"]["BucketEncryption"]
    (statement,) = resources[f"{name}Policy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_database_is_private_encrypted_and_backed_up() -> None:
    database = template("data")["Resources"]["Database"]
    properties = database["Properties"]
    assert properties["PubliclyAccessible"] is False
    assert properties["StorageEncrypted"] is properties["DeletionProtection"] is True
    assert properties["BackupRetentionPeriod"] >= 7
    assert database["DeletionPolicy"] == "Snapshot"


def test_only_nodes_reach_the_database_and_the_file_system() -> None:
    groups = [
        resource["Properties"]
        for resource in template("data")["Resources"].values()
        if resource["Type"] == "AWS::EC2::SecurityGroup"
    ]
    assert len(groups) == 2
    for group in groups:
        for rule in group["SecurityGroupIngress"]:
            assert set(rule) == {"IpProtocol", "FromPort", "ToPort", "SourceSecurityGroupId"}
            assert rule["FromPort"] == rule["ToPort"]


def test_no_secret_is_written_in_a_template() -> None:
    for resource in template("data")["Resources"].values():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::SecretsManager::Secret":
            assert (
                "GenerateSecretString" in properties or "{{resolve:" in properties["SecretString"]["Fn::Sub"]
            )
        for key in ("MasterUsername", "MasterUserPassword"):
            assert (
                "{{resolve:secretsmanager:"
                in properties.get(key, {"Fn::Sub": "{{resolve:secretsmanager:"})["Fn::Sub"]
            )


@pytest.mark.parametrize("overlay", OVERLAYS)
class TestCluster:
    def test_its_configuration_is_what_eksctl_knows(self, overlay: str) -> None:
        schema = json.loads(Path(__file__).with_name("clusterconfig.json").read_text())
        errors = Draft202012Validator(schema).iter_errors(cluster(overlay))
        assert [f"{error.json_path}: {error.message}" for error in errors] == []

    def test_every_policy_of_ours_exists_and_is_used(self, overlay: str) -> None:
        facts = site(overlay)
        made = {
            properties["ManagedPolicyName"]["Fn::Sub"].replace("${Cluster}", facts["CLUSTER"])
            for properties in POLICIES.values()
        }
        bound = {
            arn.rsplit("/", 1)[1]
            for association in cluster(overlay)["iam"]["podIdentityAssociations"]
            for arn in association["permissionPolicyARNs"]
        }
        of_others = {
            name for name in bound if name.startswith("Karpenter") or name.endswith("-load-balancers")
        }
        assert bound - of_others == made

    def test_names_are_short_enough_for_aws(self, overlay: str) -> None:
        for association in cluster(overlay)["iam"]["podIdentityAssociations"]:
            assert len(association["roleName"]) <= 64
        facts = site(overlay)
        assert len(f"{facts['CLUSTER']}-models-{facts['AWS_ACCOUNT_ID']}") <= 63

    def test_network_policies_are_enforced_and_pods_have_their_own_rights(self, overlay: str) -> None:
        config = cluster(overlay)
        addons = {addon["name"]: addon for addon in config["addons"]}
        assert '"enableNetworkPolicy": "true"' in addons["vpc-cni"]["configurationValues"]
        assert {"eks-pod-identity-agent", "aws-ebs-csi-driver", "aws-efs-csi-driver"} <= set(addons)
        for group in config["managedNodeGroups"]:
            assert group["disablePodIMDS"] and group["volumeEncrypted"] and group["privateNetworking"]

    def test_gpu_nodes_stand_by_and_are_like_those_of_karpenter(self, overlay: str) -> None:
        (gpu,) = [group for group in cluster(overlay)["managedNodeGroups"] if group["name"] == "gpu"]
        assert gpu["desiredCapacity"] == gpu["minSize"] == 0
        assert gpu["labels"]["nvidia.com/gpu.present"] == "true"
        assert gpu["taints"] == [{"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}]
