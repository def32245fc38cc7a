"""Fixtures of the tests of what every service stands on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.runtime.observed import Observed
from tests.runtime.observed import observed as started


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """The audio service with JSON logs and traces, and a Triton that traces too."""
    with started(tmp_path_factory.mktemp("observed")) as running:
        yield running
