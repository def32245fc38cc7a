from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.cluster.config_maps import ConfigMaps
from services.cluster.connection import Cluster
from services.cluster.jobs import Jobs
from tests.cluster.api_server import ApiServer, serving
from tests.cluster.manifests import connected


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with serving(ApiServer()) as api:
        yield api


@pytest.fixture
def cluster(api: ApiServer) -> Iterator[Cluster]:
    cluster = connected(api)
    yield cluster
    cluster.close()


@pytest.fixture
def jobs(cluster: Cluster) -> Jobs:
    return Jobs(cluster)


@pytest.fixture
def config_maps(cluster: Cluster) -> ConfigMaps:
    return ConfigMaps(cluster)
