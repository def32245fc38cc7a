from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from services.local.options import private
from services.local.stack import LocalStack
from tests.triton.models import repository


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A Triton of the module's own, serving the small models."""
    options = replace(
        private(tmp_path_factory.mktemp("run")),
        model_repository=repository(tmp_path_factory.mktemp("models")),
        programs=("triton",),
    )
    with LocalStack(options) as stack:
        yield stack
