"""A model as a service sees it: which version answers a request, and what Prometheus is told of that."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import REGISTRY

from services.errors import (
    CopyistError,
    ModelError,
    ModelUnavailableError,
    OverloadedError,
    VersionMissingError,
)
from services.runtime import logs, readiness
from services.runtime.contract import ModelContract
from services.runtime.models import CanaryFailedError, ServedModel, ServedVersion
from services.runtime.problems import NotFoundError
from services.runtime.release import metrics as release_metrics
from services.runtime.release import steps
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import ReleaseBoard, open_board
from services.runtime.release.manifest import ModelVersion, Role
from services.runtime.release.serving import Releases
from services.runtime.release.steps import Step
from tests.inference import Asked, ScriptedServer, Tensors
from tests.runtime.release.small_models import candidate, ship

BATCH = np.zeros((1, 1), np.float32)
REQUESTS = [f"request-{number}" for number in range(400)]


class Server(ScriptedServer):
    """Answers the same to all."""

    def answer(self, asked: Asked, inputs: Tensors) -> dict[str, NDArray[Any]]:
        return {"y": BATCH}


class Released:
    """A model of a name that no other test has used, as metrics outlive tests, and its release."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.name = f"m{uuid.uuid4().hex}"
        self.folder = folder
        self.repository = folder / "shipped"
        ship(self.repository, self.name, card=card("1"))
        self.artefacts = Artefacts(str(folder / "models"), self.repository)
        self.board: ReleaseBoard = open_board(str(folder / "release.json"))
        # What the test before has left would be taken for this one's.
        release_metrics.REVISION.set(-1)
        self.releases = Releases(self.board, self.artefacts, (self.name,))
        contract = ModelContract(self.name, (), (), max_batch=1)
        self.model = ServedModel(
            server, self.repository, contract, edges={"size": (1.0,)}, releases=self.releases
        )

    def publish(self, number: str) -> ModelVersion:
        version = self.artefacts.publish(self.name, candidate(self.folder / number, card=card(number)))
        assert version.number == number
        return version

    async def step(self, step: Callable[..., Any], **arguments: Any) -> None:
        """Take a step, and wait until the services have heard of it."""
        made: Step = partial(step, model=self.name, by="a test", **arguments)
        revision = (await asyncio.to_thread(steps.apply, self.board, made)).revision
        async with asyncio.timeout(60):
            while REGISTRY.get_sample_value("copyist_release_revision") != revision:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def canary(self, number: str, share: float) -> None:
        version = self.artefacts.find(self.name, number)
        shipped = self.artefacts.shipped(self.name)
        await self.step(steps.start_canary, version=version, share=share, shipped=shipped)

    async def answering(self) -> Counter[str]:
        return Counter([(await self.model.choose(request)).number for request in REQUESTS])

    def exported(self, name: str, version: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(name, {"model": self.name, "version": version, **labels})

    def fallbacks(self, version: str, reason: str) -> float | None:
        return self.exported("copyist_release_fallbacks_total", version, reason=reason)


def card(number: str) -> dict[str, Any]:
    """A card that tells which version it is of."""
    shares = {"size": {"edges": [1.0], "shares": [0.5, 0.5]}}
    return {
        "thresholds": {"onset": int(number)},
        "profile": {"observations": int(number), "features": shares},
    }


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def released(server: Server, tmp_path: Path) -> Iterator[Released]:
    made = Released(server, tmp_path)
    yield made
    made.releases.close()


# ---- nothing released


async def test_unreleased_the_shipped_version_answers_and_else_the_newest(
    released: Released, server: Server
) -> None:
    server.ready = ("10", "9", "1")
    assert [version.number for version in await released.model.serving()] == ["1"]
    server.ready = ("10", "9")
    assert [version.number for version in await released.model.serving()] == ["10"]
    chosen = await released.model.choose("r")
    assert (chosen.number, chosen.role, chosen.card) == ("10", Role.STABLE, card("1"))
    assert released.exported("copyist_model_ready", "9") == 1
    assert released.exported("copyist_reference_size", "10") == 1


async def test_unreleased_what_has_begun_goes_on_while_it_is_ready(
    released: Released, server: Server
) -> None:
    server.ready = ("1", "2")
    assert (await released.model.choose("r", begun="2")).number == "2"
    assert (await released.model.choose("r", begun="3")).number == "1"


@pytest.mark.parametrize("gone", [None, ()])
async def test_a_version_that_has_gone_is_told_to_be_not_ready(
    released: Released, server: Server, gone: tuple[str, ...] | None
) -> None:
    await released.model.serving()
    server.ready = gone
    with pytest.raises(ModelUnavailableError):
        await released.model.serving()
    assert released.exported("copyist_model_ready", "1") == 0
    with pytest.raises(ModelUnavailableError):
        await released.model.choose("r")
    server.ready = ("2",)
    await released.model.serving()
    assert released.exported("copyist_model_ready", "1") == 0
    assert released.exported("copyist_model_ready", "2") == 1


# ---- released


async def test_a_canary_answers_its_share_with_its_own_card_and_then_all(
    released: Released, server: Server
) -> None:
    server.ready = ("1", "2")
    released.publish("2")
    assert await released.answering() == {"1": len(REQUESTS)}
    await released.canary("2", 0.25)
    chosen = await released.answering()
    assert chosen["2"] == pytest.approx(100, abs=40)
    of_canary = [request for request in REQUESTS if (await released.model.choose(request)).number == "2"]
    picked = await released.model.choose(of_canary[0])
    assert picked.role is Role.CANARY
    assert picked.card == card("2")
    await released.model.serving()
    assert released.exported("copyist_reference_size", "2") == 2
    assert released.exported("copyist_release_share", "2", role="canary") == 0.25
    assert released.exported("copyist_release_share", "1", role="stable") == 0.75
    await released.step(steps.change_share, share=0.5)
    assert {(await released.model.choose(request)).number for request in of_canary} == {"2"}
    await released.step(steps.promote)
    assert await released.answering() == {"2": len(REQUESTS)}
    await released.model.serving()
    assert released.exported("copyist_release_share", "2", role="canary") == 0
    assert released.exported("copyist_release_share", "2", role="stable") == 1
    assert released.exported("copyist_release_share", "1", role="stable") == 0


async def test_what_a_canary_that_is_not_ready_should_answer_the_stable_version_does(
    released: Released, server: Server
) -> None:
    released.publish("2")
    await released.canary("2", 1.0)
    assert await released.answering() == {"1": len(REQUESTS)}
    assert released.fallbacks("2", "not-ready") == len(REQUESTS)
    await released.model.serving()
    assert released.exported("copyist_release_share", "1", role="stable") == 1
    server.ready = ("1", "2")
    await released.model.serving()
    assert await released.answering() == {"2": len(REQUESTS)}


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (VersionMissingError("no such version"), "version-missing"),
        (ModelError("shapes"), "model-error"),
        (OverloadedError("full"), "overloaded"),
    ],
)
async def test_a_canary_that_fails_is_replaced_and_counted(
    released: Released, server: Server, failure: CopyistError, reason: str
) -> None:
    server.ready = ("1", "2")
    released.publish("2")
    await released.canary("2", 1.0)
    chosen = await released.model.choose("r")
    server.fail(failure, version="2")
    with pytest.raises(CanaryFailedError) as failed:
        await released.model.infer(chosen, "x", BATCH)
    instead = released.model.instead_of(chosen, failed.value)
    assert (instead.number, instead.card) == ("1", card("1"))
    await released.model.infer(instead, "x", BATCH)
    assert server.asked == [(released.name, "2", Role.CANARY), (released.name, "1", Role.STABLE)]
    assert released.fallbacks("2", reason) == 1


async def test_a_stable_version_that_fails_and_a_server_that_is_away_fail_the_request(
    released: Released, server: Server
) -> None:
    server.ready = ("1", "2")
    released.publish("2")
    server.fail(ModelError("shapes"), version="1")
    with pytest.raises(ModelError):
        await released.model.infer(await released.model.choose("r"), "x", BATCH)
    await released.canary("2", 1.0)
    server.fail(ModelUnavailableError("away"), version="2")
    with pytest.raises(ModelUnavailableError):
        await released.model.infer(await released.model.choose("r"), "x", BATCH)


async def test_the_former_stable_version_goes_on_until_the_next_is_ready(
    released: Released, server: Server
) -> None:
    """As after a rollback: the version that serves again has to be loaded first."""
    server.ready = ("1", "2")
    released.publish("2")
    await released.canary("2", 1.0)
    await released.step(steps.promote)
    server.ready = ("2",)
    await released.model.serving()
    await released.step(steps.rollback, history=released.board.history())
    assert await released.answering() == {"2": len(REQUESTS)}
    assert (await released.model.choose("r")).card == card("2")
    server.ready = ("1", "2")
    await released.model.serving()
    assert await released.answering() == {"1": len(REQUESTS)}


async def test_without_the_released_version_nothing_else_answers(released: Released, server: Server) -> None:
    server.ready = ("2", "3")
    released.publish("2")
    await released.canary("2", 0.5)
    with pytest.raises(ModelUnavailableError, match="does not have version 1"):
        await released.model.choose("r")
    with pytest.raises(ModelUnavailableError, match="does not have version 1"):
        await released.model.serving()


async def test_callers_may_insist_on_any_version_that_serves(released: Released, server: Server) -> None:
    server.ready = ("1", "2", "3")
    released.publish("2")
    released.publish("3")
    await released.canary("2", 0.01)
    await released.step(
        steps.start_shadow,
        version=released.artefacts.find(released.name, "3"),
        share=0.5,
        shipped=released.artefacts.shipped(released.name),
    )
    for number in ("1", "2"):
        chosen = await released.model.choose("r", asked=number)
        assert (chosen.number, chosen.instead) == (number, None)
    for number in ("3", "99"):
        with pytest.raises(NotFoundError, match="ask for '1' or '2'"):
            await released.model.choose("r", asked=number)
    assert [version.number for version in await released.model.serving()] == ["1", "2"]
    assert [(each["version"], each["role"]) for each in await released.model.describe()] == [
        ("1", "stable"),
        ("2", "canary"),
    ]


async def test_what_has_begun_goes_on_while_it_serves(released: Released, server: Server) -> None:
    server.ready = ("1", "2")
    released.publish("2")
    await released.canary("2", 1.0)
    assert (await released.model.choose("r", begun="1")).number == "1"
    await released.step(steps.promote)
    assert (await released.model.choose("r", begun="1")).number == "2"


async def test_a_shadow_gets_its_share_and_answers_nobody(released: Released, server: Server) -> None:
    server.ready = ("1", "2")
    version = released.publish("2")
    shipped = released.artefacts.shipped(released.name)
    await released.step(steps.start_shadow, version=version, share=0.25, shipped=shipped)
    assert await released.answering() == {"1": len(REQUESTS)}
    copied = [await released.model.shadowing(request) for request in REQUESTS]
    shadows = [shadow for shadow in copied if shadow]
    assert len(shadows) == pytest.approx(100, abs=40)
    assert {(shadow.number, shadow.role) for shadow in shadows} == {("2", Role.SHADOW)}
    assert shadows[0].card == card("2")
    await released.model.infer(shadows[0], "x", BATCH)
    assert server.asked == [(released.name, "2", Role.SHADOW)]
    server.ready = ("1",)
    await released.model.serving()
    assert not [request for request in REQUESTS if await released.model.shadowing(request)]


async def test_a_version_whose_card_is_damaged_does_not_serve_until_it_is_mended(
    released: Released, server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("services.runtime.release.serving._AGAIN_S", 0.05)
    server.ready = ("1", "2")
    released.publish("2")
    blob = released.artefacts.index(released.name, "2").files["card.json"].sha256
    path = released.folder / "models" / "blobs" / blob
    content = path.read_bytes()
    path.write_bytes(b"{}")
    await released.canary("2", 1.0)
    assert await released.answering() == {"1": len(REQUESTS)}
    assert f"version 2 of {released.name} is left out" in caplog.text
    path.write_bytes(content)
    deadline = time.monotonic() + 60
    while (await released.model.choose("r")).number == "1":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert (await released.model.choose("r")).card == card("2")


# ---- what it costs


async def test_requests_do_not_ask_the_server_what_it_has(
    released: Released, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "FRESH_S", 600.0)
    monkeypatch.setattr(readiness, "STALE_S", 600.0)
    for request in REQUESTS:
        await released.model.choose(request)
    assert server.looks == 1
    monkeypatch.setattr(readiness, "FRESH_S", 0.0)
    for request in REQUESTS:
        await released.model.choose(request)
    assert server.looks == 1
    await asyncio.sleep(0.05)
    assert server.looks == 2, "one, beside the requests"
    monkeypatch.setattr(readiness, "STALE_S", 0.0)
    server.ready = None
    with pytest.raises(ModelUnavailableError):
        await released.model.choose("r")


async def test_after_a_failure_the_server_is_asked_at_once(released: Released, server: Server) -> None:
    chosen = await released.model.choose("r")
    server.fail(ModelUnavailableError("gone"), version="1")
    with pytest.raises(ModelUnavailableError):
        await released.model.infer(chosen, "x", BATCH)
    server.ready = None
    with pytest.raises(ModelUnavailableError):
        await released.model.choose("r")


async def test_the_log_names_the_version_that_answers(released: Released, server: Server) -> None:
    server.ready = ("1", "2")
    released.publish("2")
    await released.canary("2", 1.0)
    with logs.bind(request_id="r"):
        chosen = await asyncio.create_task(released.model.choose("r"))
        assert logs.bound() == {"request_id": "r", released.name: "2"}
        failure = CanaryFailedError(released.name, ModelError("broken"))
        assert isinstance(chosen, ServedVersion)
        released.model.instead_of(chosen, failure)
        assert logs.bound()[released.name] == "1"
