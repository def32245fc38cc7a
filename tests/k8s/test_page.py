"""The page's commands name what exists, in the order in which it is needed, and undo what they do."""

from __future__ import annotations

import re
import subprocess

import pytest

from services.triton.environment import REPOSITORY_ROOT
from tests.images.dockerfile import NAMES
from tests.k8s.manifests import ADDONS, PAGE, commands, site, template

COMMANDS = commands()
LINES = [line for line in COMMANDS.splitlines() if line.strip()]


def position(text: str) -> int:
    """Where a command comes first."""
    found = COMMANDS.find(text)
    assert found >= 0, text
    return found


def test_a_shell_can_read_every_command() -> None:
    done = subprocess.run(["bash", "-n"], input=COMMANDS, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"(?:k8s|images|charts|services)/[\w./$-]+", COMMANDS))
    assert len(named) > 10
    for name in named:
        path = name.replace("$OVERLAY", "production")
        assert (REPOSITORY_ROOT / path).exists(), path


def test_every_variable_is_of_the_site_or_set_before() -> None:
    known = set(site("production")) | {"OVERLAY", "(", "?"}
    for line in LINES:
        for use in re.findall(r"\$\{?([A-Z_]+)", line):
            assert use in known, line
        known |= set(re.findall(r"(?:^|\s)([A-Z_]+)=", line))


@pytest.mark.parametrize("addon", ADDONS)
def test_every_add_on_is_installed_once_at_one_version(addon: str) -> None:
    installs = [line for line in LINES if f"--values k8s/addons/{addon}.yaml" in line]
    assert len(installs) == 1
    assert installs[0].startswith(f"helm upgrade --install {addon} ")
    assert re.search(r"--version \d+\.\d+\.\d+ ", installs[0] + " ")


def test_rights_are_of_the_releases_that_are_installed() -> None:
    for addon, repository in (
        ("karpenter", "karpenter-provider-aws"),
        ("aws-load-balancer-controller", "aws-load-balancer-controller"),
    ):
        (installed,) = [line for line in LINES if line.startswith(f"helm upgrade --install {addon} ")]
        version = re.search(r"--version (\S+)", installed)
        rights = re.search(rf"/{repository}/v([\d.]+)/", COMMANDS)
        assert version and rights
        assert version[1] == rights[1]
    crds = next(line for line in LINES if line.startswith("helm upgrade --install karpenter-crd "))
    karpenter = next(line for line in LINES if line.startswith("helm upgrade --install karpenter "))
    assert re.findall(r"--version (\S+)", crds) == re.findall(r"--version (\S+)", karpenter)


@pytest.mark.parametrize("name", ["access", "data"])
def test_templates_get_their_parameters(name: str) -> None:
    (line,) = [x for x in LINES if f"k8s/aws/{name}.yaml" in x]
    given = set(re.findall(r"(\w+)=", line.split("--parameter-overrides")[1]))
    parameters = template(name)["Parameters"]
    assert given <= set(parameters)
    assert {key for key, value in parameters.items() if "Default" not in value} <= given


def test_stacks_that_are_made_are_deleted_in_the_opposite_order() -> None:
    made = re.findall(r"cloudformation deploy --stack-name (\S+)", COMMANDS)
    deleted = re.findall(r"cloudformation delete-stack --stack-name (\S+)", COMMANDS)
    assert sorted(made) == sorted(deleted)
    assert deleted.index("$CLUSTER-data") < deleted.index("Karpenter-$CLUSTER")
    assert position("delete-stack --stack-name $CLUSTER-data") < position("eksctl delete cluster")
    assert position("kubectl delete nodepools") < position("kubectl delete ec2nodeclasses")
    assert position("kubectl delete ec2nodeclasses") < position("eksctl delete cluster")


def test_what_needs_something_comes_after_it() -> None:
    order = [
        "--stack-name $CLUSTER-access",
        "eksctl create cluster",
        "--stack-name $CLUSTER-data --template-file",
        "helm upgrade --install karpenter-crd",
        "helm upgrade --install karpenter ",
        "kubectl apply -k",
        "helm upgrade --install kube-prometheus-stack",
        "helm upgrade --install keda",
        "docker push",
        "helm upgrade --install copyist charts/copyist",
        "copyist keys create",
        "curl --fail-with-body",
        "helm uninstall copyist",
    ]
    assert [position(text) for text in order] == sorted(position(text) for text in order)


def test_there_is_one_device_plugin() -> None:
    (create,) = [line for line in LINES if "eksctl create cluster" in line]
    assert "--install-nvidia-plugin=false" in create


def test_every_image_is_built_and_pushed_with_the_charts_version() -> None:
    for name in NAMES:
        repository = "copyist" if name == "copyist" else f"copyist-{name}"
        assert f"--file images/{name}/Dockerfile" in COMMANDS
        assert f"docker push $REGISTRY/$CLUSTER/{repository}:0.1.0" in COMMANDS
    chart = (REPOSITORY_ROOT / "charts" / "copyist" / "Chart.yaml").read_text()
    assert "appVersion: 0.1.0" in chart


def test_the_page_names_every_folder_of_the_cluster() -> None:
    text = PAGE.read_text()
    for name in ("k8s/cluster.yaml", "k8s/aws/", "k8s/base/", "k8s/overlays/", "k8s/addons/", "images/"):
        assert f"`{name}`" in text
