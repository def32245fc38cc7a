"""Fixtures that all tests may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from services.cluster.connection import Cluster
from services.local.stack import LocalStack
from tests.cluster.api_server import ApiServer, serving
from tests.cluster.manifests import connected
from tests.databases import PostgresServer, S3Server, postgres, s3

#: The same examples in every run, so that a change is judged by what it changes; and none has a time limit,
#: which a machine that is held up would not keep.
settings.register_profile("copyist", derandomize=True, deadline=None)
settings.load_profile("copyist")


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    """A real Triton with the real models, and the real services, on free ports; one for all tests."""
    with LocalStack() as running:
        yield running


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL; each test makes a database of its own in it."""
    with postgres() as running:
        yield running


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A real S3 endpoint; each test makes a bucket of its own in it."""
    with s3() as running:
        yield running


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """A stand-in for the API server of a Kubernetes cluster, with nothing in it."""
    with serving(ApiServer()) as running:
        yield running


@pytest.fixture
def cluster(api: ApiServer) -> Iterator[Cluster]:
    """A connection to that cluster."""
    connection = connected(api)
    yield connection
    connection.close()
