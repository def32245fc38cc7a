"""What k8s/ holds, rendered as its users would: by kubectl, envsubst and Helm."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from services.triton.environment import REPOSITORY_ROOT

K8S = REPOSITORY_ROOT / "k8s"
PAGE = REPOSITORY_ROOT / "docs" / "cluster.md"
OVERLAYS = ("dev", "staging", "production")
ADDONS = sorted(path.stem for path in (K8S / "addons").glob("*.yaml"))


def site(overlay: str) -> dict[str, str]:
    """The facts that an overlay's site.env states."""
    lines = (K8S / "overlays" / overlay / "site" / "site.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@cache
def kubectl() -> str:
    """A kubectl whose kustomize knows components and replacements; where there is none, a test skips."""
    found = shutil.which("kubectl")
    if not found:
        pytest.skip("needs kubectl: the overlays are not rendered")
    told = subprocess.run(
        [found, "version", "--client", "-o", "json"], capture_output=True, text=True, check=True
    )
    kustomize = json.loads(told.stdout)["kustomizeVersion"]
    if int(re.findall(r"\d+", kustomize)[0]) < 5:
        pytest.skip(
            f"needs a kubectl with kustomize 5 or newer, not {kustomize}: the overlays are not rendered"
        )
    return found


@cache
def rendered(overlay: str) -> tuple[dict[str, Any], ...]:
    """The objects that `kubectl apply -k k8s/overlays/OVERLAY` would send."""
    folder = K8S / "overlays" / overlay
    done = subprocess.run([kubectl(), "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def one(overlay: str, kind: str, name: str) -> dict[str, Any]:
    """The object of this kind and name."""
    found = [o for o in rendered(overlay) if o["kind"] == kind and o["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind}/{name} in {overlay}"
    return found[0]


def cluster(overlay: str) -> dict[str, Any]:
    """The ClusterConfig, filled in as envsubst would."""
    text = Template((K8S / "cluster.yaml").read_text()).substitute(site(overlay))
    config: dict[str, Any] = yaml.safe_load(text)
    return config


class _CloudFormation(yaml.SafeLoader):
    """YAML with CloudFormation's short functions: `!Sub x` becomes {"Fn::Sub": x}, `!Ref x` {"Ref": x}."""


def _function(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {tag if tag == "Ref" else f"Fn::{tag}": value}


_CloudFormation.add_multi_constructor("!", _function)


def template(name: str) -> dict[str, Any]:
    """A CloudFormation template."""
    loaded: dict[str, Any] = yaml.load((K8S / "aws" / f"{name}.yaml").read_text(), _CloudFormation)
    return loaded


def commands(page: Path = PAGE) -> str:
    """All commands of the page, continued lines joined."""
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(), re.S)
    return "\n".join(blocks).replace("\\\n", " ")
