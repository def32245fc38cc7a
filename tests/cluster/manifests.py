"""What the tests of the Kubernetes API have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from kubernetes.client import Configuration

from services.cluster.connection import Cluster
from services.cluster.rules import Rule
from tests.cluster.api_server import NAMESPACE, TOKEN, ApiServer


def connected(api: ApiServer, *, token: str = TOKEN, patience_s: float = 60.0) -> Cluster:
    configuration = Configuration(host=api.url)
    configuration.api_key["BearerToken"] = f"Bearer {token}"
    return Cluster(configuration, NAMESPACE, patience_s=patience_s)


def kubeconfig(api: ApiServer, folder: Path) -> Path:
    """Write a kubeconfig for it."""
    path = folder / "kubeconfig"
    context = {"cluster": "here", "user": "me", "namespace": NAMESPACE}
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [{"name": "here", "cluster": {"server": api.url}}],
                "users": [{"name": "me", "user": {"token": TOKEN}}],
                "contexts": [{"name": "here", "context": context}],
            }
        )
    )
    return path


def training(name: str = "train-piano-7", *, image: str = "copyist-training:0.1.0") -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {"copyist.io/model": "piano"}},
        "spec": {
            "backoffLimit": 2,
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [
                        {
                            "name": "train",
                            "image": image,
                            "command": ["python", "-m", "pipelines.training.piano.train"],
                            "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "16Gi"}},
                        }
                    ],
                }
            },
        },
    }


def cron_job(name: str = "copyist-retrain-piano") -> dict[str, Any]:
    template = training()["spec"]["template"]
    template["spec"]["containers"] = [
        {"name": "retrain", "image": "copyist-training:0.1.0", "command": ["copyist", "retrain", "piano"]}
    ]
    labels = {"app.kubernetes.io/component": "retrain", "app.kubernetes.io/managed-by": "Helm"}
    job = {"metadata": {"labels": labels}, "spec": {"backoffLimit": 6, "template": template}}
    return {"metadata": {"name": name}, "spec": {"schedule": "0 2 * * 0", "jobTemplate": job}}


def rights(*of: Rule) -> set[tuple[str, str, str]]:
    return {(verb, rule.group, rule.resource) for rule in of for verb in rule.verbs}


COMPLETE = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-21T10:00:00Z"}
FAILED = {
    "type": "Failed",
    "status": "True",
    "reason": "BackoffLimitExceeded",
    "message": "Job has reached the specified backoff limit",
    "lastTransitionTime": "2026-11-21T10:00:00Z",
}


def later(action: Callable[[], Any], after_s: float = 0.3) -> threading.Timer:
    timer = threading.Timer(after_s, action)
    timer.start()
    return timer
