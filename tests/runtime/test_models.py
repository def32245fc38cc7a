"""A model as a service sees it: which versions are ready, and what Prometheus is told of that."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray
from prometheus_client import REGISTRY

from services.errors import ModelUnavailableError
from services.runtime.contract import ModelContract
from services.runtime.models import ServedModel


class Server:
    """Has the versions that it is told to have; None means that it is away."""

    def __init__(self) -> None:
        self.ready: tuple[str, ...] | None = ("1",)

    async def versions(self, model: str) -> tuple[str, ...]:
        if self.ready is None:
            raise ModelUnavailableError("away")
        return self.ready

    async def infer(
        self, contract: ModelContract, version: str | None, inputs: Mapping[str, NDArray[Any]]
    ) -> dict[str, NDArray[Any]]:
        raise NotImplementedError


def exported(name: str, model: ServedModel, version: str) -> float | None:
    return REGISTRY.get_sample_value(name, {"model": model.name, "version": version})


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def model(server: Server, tmp_path: Path) -> ServedModel:
    """A model of a name that no other test has used: metrics live as long as the process."""
    name = uuid.uuid4().hex
    (tmp_path / name).mkdir()
    card = {"profile": {"observations": 7, "features": {"size": {"edges": [1.0], "shares": [0.5, 0.5]}}}}
    (tmp_path / name / "card.json").write_text(json.dumps(card))
    return ServedModel(server, tmp_path, ModelContract(name, (), (), max_batch=1), edges={"size": (1.0,)})


async def test_versions_come_oldest_first_and_are_told_to_be_ready(
    server: Server, model: ServedModel
) -> None:
    server.ready = ("10", "9")
    assert await model.versions() == ("9", "10")
    assert exported("copyist_model_ready", model, "10") == 1
    assert exported("copyist_reference_size", model, "9") == 7


@pytest.mark.parametrize("gone", [None, ()])
async def test_a_version_that_has_gone_is_told_to_be_not_ready(
    server: Server, model: ServedModel, gone: tuple[str, ...] | None
) -> None:
    await model.versions()
    server.ready = gone
    with pytest.raises(ModelUnavailableError):
        await model.versions()
    assert exported("copyist_model_ready", model, "1") == 0
    server.ready = ("2",)
    await model.versions()
    assert exported("copyist_model_ready", model, "1") == 0
    assert exported("copyist_model_ready", model, "2") == 1
