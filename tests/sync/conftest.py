from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from services.local.options import private
from services.local.stack import LocalStack
from tests.sync.sites import Site, shipped

#: Each test has a model of its own of the one Triton.
MODELS = (
    "beside",
    "promoted",
    "broken",
    "answerless",
    "damaged",
    "restarted",
    "shadowed",
    "again",
    "killed",
    "sidecar",
)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A Triton with small models, and no agent."""
    models = shipped(tmp_path_factory.mktemp("shipped"), *MODELS)
    options = replace(private(tmp_path_factory.mktemp("run")), model_repository=models, programs=("triton",))
    with LocalStack(options):
        yield Site(options)


@pytest.fixture
def site(triton: Site) -> Iterator[Site]:
    """The same with an agent."""
    with triton.agent():
        yield triton
