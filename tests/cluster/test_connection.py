from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from services.cluster import connection
from services.cluster.errors import ClusterForbiddenError, ClusterUnavailableError, NoClusterError
from services.cluster.jobs import Jobs
from tests.cluster.api_server import NAMESPACE, TOKEN, ApiServer, Fault
from tests.cluster.manifests import connected, training


def test_passing_failures_are_tried_again(api: ApiServer, jobs: Jobs) -> None:
    name = jobs.start(training()).name
    api.faults += [Fault(status=503), Fault(status=429), Fault()]
    assert jobs.find(name).name == name


def test_the_pause_asked_for_is_kept(api: ApiServer, jobs: Jobs) -> None:
    name = jobs.start(training()).name
    api.faults.append(Fault(status=429, retry_after_s=1))
    begun = time.monotonic()
    jobs.find(name)
    assert time.monotonic() - begun >= 1


def test_patience_ends(api: ApiServer) -> None:
    api.faults += [Fault(status=503)] * 50
    with pytest.raises(ClusterUnavailableError, match="503"):
        Jobs(connected(api, patience_s=0.6)).find("any")


def test_a_server_that_is_away(api: ApiServer) -> None:
    away = ApiServer(url="http://127.0.0.1:1")
    with pytest.raises(ClusterUnavailableError, match="does not answer"):
        Jobs(connected(away, patience_s=0.3)).find("any")


def test_a_wrong_token(api: ApiServer) -> None:
    with pytest.raises(ClusterForbiddenError):
        Jobs(connected(api, token="wrong")).find("any")


def test_a_missing_right_is_told_with_what_would_help(api: ApiServer, jobs: Jobs) -> None:
    api.rights = set()
    with pytest.raises(ClusterForbiddenError, match="cannot create resource") as raised:
        jobs.start(training())
    assert "services/cluster/rules.py" in raised.value.remedy


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the kubeconfig of this process lies; there is none yet."""
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr(connection, "NAMESPACE_FILE", tmp_path / "not-in-a-pod")
    return path


def test_a_kubeconfig_names_the_cluster_the_credentials_and_the_namespace(
    api: ApiServer, kubeconfig: Path
) -> None:
    context = {"cluster": "here", "user": "me", "namespace": NAMESPACE}
    kubeconfig.write_text(
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
    cluster = connection.connect()
    assert cluster.namespace == NAMESPACE
    assert Jobs(cluster).start(training()).name == "train-piano-7"
    cluster.close()


def test_without_credentials_it_is_said_what_would_help(kubeconfig: Path) -> None:
    with pytest.raises(NoClusterError, match="KUBECONFIG"):
        connection.connect()
