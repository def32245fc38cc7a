"""Fixtures that all tests may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.local.stack import LocalStack


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    """A real Triton with the real models, and the real services, on free ports; one for all tests."""
    with LocalStack() as running:
        yield running
