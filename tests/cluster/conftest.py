from __future__ import annotations

import pytest

from services.cluster.config_maps import ConfigMaps
from services.cluster.connection import Cluster
from services.cluster.jobs import Jobs


@pytest.fixture
def jobs(cluster: Cluster) -> Jobs:
    return Jobs(cluster)


@pytest.fixture
def config_maps(cluster: Cluster) -> ConfigMaps:
    return ConfigMaps(cluster)
