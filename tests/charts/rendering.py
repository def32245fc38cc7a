"""The chart rendered by the real Helm, for many values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import helm_python as helm
import yaml

CHART: Final = Path(__file__).resolve().parents[2] / "charts" / "copyist"
NAME: Final = "copyist"
NAMESPACE: Final = "music"

Object = dict[str, Any]
Values = dict[str, Any]

#: What the defaults leave open on purpose.
_STORES: Final[Values] = {
    "database": {"existingSecret": {"name": "database"}},
    "files": {"url": "s3://bucket/jobs"},
}
_HOSTS: Final = {"amt": "amt.example.com", "omr": "omr.example.com"}
_MONITORED: Final[Values] = {"monitoring": {"enabled": True}}


def _file(name: str) -> Values:
    return _read(CHART / name)


def _read(path: Path) -> Values:
    values: Values = yaml.safe_load(path.read_text())
    return values


def merged(*layers: Mapping[str, Any]) -> Values:
    """Values laid over one another as Helm does with several files."""
    whole: Values = {}
    for layer in layers:
        for key, value in layer.items():
            below = whole.get(key)
            whole[key] = (
                merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
            )
    return whole


VALUES_FILES: Final = {
    "dev": _file("values-dev.yaml"),
    "dev-cpu": merged(_file("values-dev.yaml"), _file("values-cpu.yaml")),
    "eks": _file("values-eks.yaml"),
    "eks-cpu": merged(_file("values-eks.yaml"), _file("values-cpu.yaml")),
    **{
        f"eks-{path.parent.name}": merged(_file("values-eks.yaml"), _read(path))
        for path in sorted((CHART.parents[1] / "k8s" / "overlays").glob("*/copyist.yaml"))
    },
}

#: One switch after another, and those that go together.
CASES: Final[Mapping[str, Values]] = {
    **VALUES_FILES,
    "defaults": _STORES,
    "no-auth": merged(_STORES, {"settings": {"auth": False}}),
    "key-for-tests": merged(_STORES, {"tests": {"apiKeySecret": {"name": "test-key"}}}),
    "everything-asked": merged(
        _STORES,
        {
            "webhooks": {"existingSecret": {"name": "webhooks"}},
            "settings": {
                "oidcIssuer": "https://issuer.example.com",
                "otlpEndpoint": "http://otel.tracing:4317",
            },
        },
    ),
    "hpa": merged(
        _STORES,
        {
            "autoscaling": {"engine": "hpa"},
            "amtWorker": {"autoscaling": {"minReplicas": 1}},
            "omrWorker": {"autoscaling": {"minReplicas": 1}},
        },
    ),
    "keda": merged(
        _STORES,
        _MONITORED,
        {
            "autoscaling": {"engine": "keda", "keda": {"authenticationRef": "prometheus"}},
            "triton": {
                "autoscaling": {
                    "minReplicas": 0,
                    "schedules": [
                        {
                            "timezone": "Europe/Berlin",
                            "start": "0 7 * * 1-5",
                            "end": "0 19 * * 1-5",
                            "replicas": 1,
                        }
                    ],
                }
            },
        },
    ),
    "cpu-hpa": merged(
        _STORES,
        _file("values-cpu.yaml"),
        {
            "autoscaling": {"engine": "hpa"},
            "amtWorker": {"enabled": False},
            "omrWorker": {"enabled": False},
        },
    ),
    "audio-alone": merged(_STORES, {"omr": {"enabled": False}, "omrWorker": {"enabled": False}}),
    "pages-alone": merged(_STORES, {"amt": {"enabled": False}, "amtWorker": {"enabled": False}}),
    "workers-alone": merged(_STORES, {"amt": {"enabled": False}, "omr": {"enabled": False}}),
    "other-triton": merged(
        _STORES, {"triton": {"enabled": False, "externalUrl": "dns:///triton.example.com:8001"}}
    ),
    "model-sync": merged(
        _STORES,
        {
            "modelSync": {"enabled": True, "url": "s3://models/released"},
        },
    ),
    "operators": merged(
        _STORES,
        _MONITORED,
        {
            "modelSync": {"enabled": True, "url": "s3://models/released"},
            "retraining": {"enabled": True},
            "releaseWatch": {"enabled": True},
            "trigger": {"enabled": True, "existingSecret": {"name": "trigger"}},
        },
    ),
    "retraining": merged(
        _STORES,
        {
            "modelSync": {"enabled": True, "url": "s3://models/released"},
            "retraining": {"enabled": True},
            "priorityClasses": {"create": True},
        },
    ),
    "no-policies": merged(_STORES, {"networkPolicy": {"enabled": False}}),
    "ingress": merged(
        _STORES,
        {
            "ingress": {
                "enabled": True,
                "className": "nginx",
                "hosts": _HOSTS,
                "tls": {"enabled": True, "secretName": "certificate"},
                "annotations": {"a": "1"},
                "grpcAnnotations": {"nginx.ingress.kubernetes.io/backend-protocol": "GRPC"},
            }
        },
    ),
    "gateway": merged(
        _STORES,
        {
            "gateway": {
                "enabled": True,
                "hosts": _HOSTS,
                "grpcHosts": {"amt": "amt-grpc.example.com"},
                "parentRefs": [{"name": "public", "namespace": "gateways"}],
            }
        },
    ),
    "own-s3": {
        "database": {"existingSecret": {"name": "database"}},
        "files": {
            "url": "s3://bucket/jobs",
            "endpointUrl": "http://minio:9000",
            "region": "eu-central-1",
            "existingSecret": {"name": "minio"},
        },
    },
    "own-accounts": merged(
        _STORES,
        {
            "amt": {"serviceAccount": {"create": False, "name": "mine"}},
            "omr": {
                "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}}
            },
        },
    ),
    "mirror": merged(
        _STORES,
        {
            "global": {"imageRegistry": "mirror.example.com", "imagePullSecrets": ["pull"]},
            "image": {"digest": f"sha256:{'0' * 64}", "pullSecrets": ["pull-too"]},
            "triton": {"image": {"digest": f"sha256:{'1' * 64}"}},
        },
    ),
    "extras": merged(
        _STORES,
        {
            "commonLabels": {"team": "music"},
            "extraEnv": [{"name": "EVERYWHERE", "value": "1"}],
            "extraVolumes": [{"name": "fonts", "configMap": {"name": "fonts"}}],
            "extraVolumeMounts": [{"name": "fonts", "mountPath": "/fonts", "readOnly": True}],
            "amt": {
                "extraEnv": [{"name": "HERE", "value": "1"}],
                "extraEnvFrom": [{"secretRef": {"name": "more"}}],
                "podLabels": {"colour": "blue"},
                "podAnnotations": {"note": "x"},
                "nodeSelector": {"pool": "cpu"},
                "tolerations": [{"key": "a", "operator": "Exists"}],
                "affinity": {"podAntiAffinity": {}},
                "priorityClassName": "mine",
            },
            "triton": {
                "extraArgs": ["--log-verbose=1"],
                "extraEnv": [{"name": "CUDA_MODULE_LOADING", "value": "LAZY"}],
            },
            "extraObjects": [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}},
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-text\n",
            ],
        },
    ),
    "engine-claim": merged(_STORES, {"triton": {"engineCache": {"create": True, "storageClass": "efs"}}}),
}


def render(
    values: Values, *, chart: Path = CHART, name: str = NAME, namespace: str = NAMESPACE
) -> list[Object]:
    """All objects of a release.

    Raises:
        helm.HelmError: when the values are refused.
    """
    with helm.Chart.load(chart) as loaded:
        files = loaded.render(values, name=name, namespace=namespace)
    texts = (text for path, text in sorted(files.items()) if path.endswith(".yaml"))
    return [loaded for text in texts for loaded in yaml.safe_load_all(text) if loaded]


def notes(values: Values) -> str:
    """What Helm says after an installation."""
    with helm.Chart.load(CHART) as loaded:
        return loaded.render(values, name=NAME, namespace=NAMESPACE)["copyist/templates/NOTES.txt"]


@cache
def case(name: str) -> tuple[Object, ...]:
    """The objects of one of CASES; do not change them."""
    return tuple(render(CASES[name]))


def of_kind(objects: Iterable[Object], *kinds: str) -> list[Object]:
    """The objects of some kinds."""
    return [each for each in objects if each["kind"] in kinds]


def find(objects: Iterable[Object], kind: str, name: str) -> Object:
    """The one object of a kind and a name."""
    (found,) = [each for each in of_kind(objects, kind) if each["metadata"]["name"] == name]
    return found


def pod_templates(objects: Iterable[Object]) -> list[tuple[str, Object]]:
    """Every pod that the objects lead to: where it comes from, and its template."""
    found = []
    for each in objects:
        where, spec = f"{each['kind']} {each['metadata']['name']}", each.get("spec", {})
        if each["kind"] in ("Deployment", "StatefulSet", "Job"):
            found.append((where, spec["template"]))
        elif each["kind"] == "CronJob":
            found.append((where, spec["jobTemplate"]["spec"]["template"]))
        elif each["kind"] == "Pod":
            found.append((where, {"metadata": each["metadata"], "spec": spec}))
    return found


def containers(template: Object, *, starting: bool = True) -> list[Object]:
    """A pod's containers, with those that run before or beside the others."""
    spec = template["spec"]
    return [*spec["containers"], *(spec.get("initContainers", []) if starting else [])]


def environment(objects: Iterable[Object], container: Object) -> dict[str, str]:
    """A container's variables with plain values, those of its ConfigMaps included."""
    variables: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if reference := source.get("configMapRef"):
            variables |= find(objects, "ConfigMap", reference["name"])["data"]
    return variables | {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}
