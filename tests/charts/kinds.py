"""Whether a Kubernetes object is what its kind allows.

Kubernetes' own kinds are held to its published schemas (the package kubernetes-validate brings them), unknown
fields refused. Custom resources are held to the schemas beside this file, `schemas/KIND_GROUP_VERSION.json`,
which know the fields that Copyist's manifests may use, and no others.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

#: The oldest Kubernetes that the chart takes, and the newest of which the schemas are here.
VERSIONS: Final = ("1.30", "1.37")
_SCHEMAS: Final = Path(__file__).parent / "schemas"


def problems(manifest: dict[str, Any]) -> list[str]:
    """What is wrong with an object; nothing when it is valid, for every one of VERSIONS."""
    name = f"{manifest.get('kind')}/{manifest.get('metadata', {}).get('name')}"
    if validator := _custom(str(manifest.get("apiVersion")), str(manifest.get("kind"))):
        errors = validator.iter_errors(manifest)
        return [f"{name}: {error.json_path}: {error.message}" for error in errors]
    found = []
    for version in VERSIONS:
        validator = _published(str(manifest["apiVersion"]), str(manifest["kind"]), version)
        if validator is None:
            found.append(
                f"{name}: Kubernetes {version} has no {manifest['kind']} in {manifest['apiVersion']}"
            )
            continue
        for error in validator.iter_errors(manifest):
            found.append(f"{name}: {error.json_path}: {error.message} (Kubernetes {version})")
    return found


@cache
def _custom(api: str, kind: str) -> Draft202012Validator | None:
    group, _, version = api.partition("/")
    path = _SCHEMAS / f"{kind.lower()}_{group}_{version}.json"
    return Draft202012Validator(json.loads(path.read_text())) if path.exists() else None


@cache
def _published(api: str, kind: str, version: str) -> Draft202012Validator | None:
    """As kubernetes-validate does it, which reads its largest file anew for each object."""
    group, _, api_version = api.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.partition(".")[0], api_version)))
    path = _folder(version) / f"{name}.json"
    if not path.exists():
        return None
    schema = Resource.from_contents(json.loads(path.read_text()))
    return Draft202012Validator(schema.contents, registry=schema @ _definitions(version))


@cache
def _definitions(version: str) -> Registry[Any]:
    registry: Registry[Any] = Registry()
    return Resource.from_contents(json.loads((_folder(version) / "_definitions.json").read_text())) @ registry


def _folder(version: str) -> Path:
    return Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / f"v{version}.0-local-strict"
