"""Releases on the real stack: published, tried, insisted on, rolled back, and in the shadow."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from services.client import Copyist
from services.local.stack import LocalStack
from services.runtime.release import steps
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import ReleaseBoard, open_board
from services.runtime.release.manifest import ModelRelease, ModelVersion
from tests.exposition import exposed, values
from tests.recordings import tones, with_soundfile
from tests.releasing import publish_made, wait_until_in_force
from tests.spoiled_models import as_it_is
from tests.waiting import wait_for

pytestmark = pytest.mark.stack

RECORDING = with_soundfile(tones(3, 44_100), 44_100, "MP3")
PAGE = Path(__file__).parents[2] / "services/client/samples/demo-page.png"


@dataclass
class Site:
    """The stack, with another version of the piano model and of the symbols model published."""

    stack: LocalStack
    board: ReleaseBoard
    artefacts: Artefacts
    published: dict[str, ModelVersion]

    @property
    def new(self) -> str:
        return self.published["piano"].number

    @property
    def old(self) -> str:
        return self.artefacts.shipped("piano").number

    def step(self, step: Any, model: str = "piano", **arguments: Any) -> ModelRelease:
        made = partial(step, model=model, by="a test", **arguments)
        return steps.apply(self.board, made).models[model]

    def canary(self, share: float) -> ModelRelease:
        shipped = self.artefacts.shipped("piano")
        release = self.step(
            steps.start_canary,
            version=self.published["piano"],
            share=share,
            shipped=shipped,
            automatic=False,
        )
        worker = f"http://{self.stack.options.host}:{self.stack.options.amt_worker_port}"
        for url in (self.stack.http_url, worker):
            wait_for(partial(lambda url: self.share(self.new, "canary", url) == share, url))
        return release

    def rollback(self) -> ModelRelease:
        return self.step(steps.rollback, history=self.board.history())

    def share(self, version: str, role: str, url: str) -> float:
        return self.metric("copyist_release_share", url=url, model="piano", version=version, role=role)

    def metric(self, name: str, *, url: str | None = None, **labels: str) -> float:
        return sum(values(exposed(url or self.stack.http_url), name, **labels))

    def transcribe(self, request_id: str) -> httpx.Response:
        answer = httpx.post(
            f"{self.stack.http_url}/v1/transcribe",
            files={"file": ("tones.mp3", RECORDING)},
            headers={"X-Request-Id": request_id},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return answer

    def answering(self, request_id: str) -> str:
        version: str = self.transcribe(request_id).json()["model"]["version"]
        return version


@pytest.fixture(scope="module")
def site(stack: LocalStack) -> Iterator[Site]:
    options = stack.options
    artefacts = Artefacts(options.models_url, options.model_repository)
    published = {model: publish_made(options, model, as_it_is) for model in ("piano", "symbols")}
    board = open_board(options.release_url)
    yield Site(stack, board, artefacts, published)
    for model, release in board.read().models.items():
        if release.canary is not None:
            steps.apply(board, partial(steps.rollback, model=model, history=[], by="a test"))
        if release.shadow is not None:
            steps.apply(board, partial(steps.stop_shadow, model=model, by="a test"))
    wait_until_in_force(stack)


def test_requests_are_answered_by_the_version_that_their_id_chooses(site: Site) -> None:
    release = site.canary(0.5)
    expected = {id_: release.answering(id_).number for id_ in (f"r{index}" for index in range(8))}
    assert set(expected.values()) == {site.old, site.new}
    assert {id_: site.answering(id_) for id_ in expected} == expected
    served = httpx.get(f"{site.stack.http_url}/v1/models").json()["models"]
    roles = {each["version"]: each["role"] for each in served}
    assert roles == {site.old: "stable", site.new: "canary"}
    assert site.metric("copyist_model_calls_total", model="piano", version=site.new, outcome="ok") >= 1
    assert site.metric("copyist_release_revision") == site.board.read().revision
    assert site.metric("copyist_release_readable") == 1
    log = site.stack.options.run_dir / "amt.log"
    for id_, version in expected.items():
        # The line is written just after the answer.
        line = rf"POST /v1/transcribe 200 .* request_id={id_} .*piano={version}\b"
        wait_for(partial(lambda line: bool(re.search(line, log.read_text())), line))


def test_a_job_is_done_by_the_version_that_its_id_chooses(site: Site) -> None:
    release = site.canary(0.5)
    with Copyist(site.stack.http_url, pages_url=site.stack.omr_http_url) as client:
        job = client.submit(RECORDING, name="tones.mp3", formats="midi")
        job.wait()
        assert job.result().model.version == release.answering(job.id).number


def test_grpc_callers_may_insist_on_a_version_that_serves(site: Site) -> None:
    site.canary(0.01)
    tensor = triton.InferInput("file", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([RECORDING], object))
    with triton.InferenceServerClient(site.stack.grpc_url) as client:
        for version in (site.old, site.new):
            answer = client.infer("amt", [tensor], model_version=version).get_response()
            assert answer.model_version == version
            assert client.is_model_ready("amt", version)
        assert client.get_model_metadata("amt").versions == [site.old, site.new]
        with pytest.raises(InferenceServerException, match=f"ask for '{site.old}' or '{site.new}'"):
            client.infer("amt", [tensor], model_version="99")


def test_a_rollback_by_hand_takes_effect_well_within_ten_seconds(site: Site) -> None:
    site.canary(1.0)
    assert site.answering("r") == site.new
    site.rollback()
    began, revision = time.monotonic(), site.board.read().revision
    wait_for(lambda: site.metric("copyist_release_revision") == revision, 10)
    print(f"a rollback took effect after {time.monotonic() - began:.2f} s")
    assert site.answering("r") == site.old


def test_a_shadow_gets_copies_and_agrees_with_itself(site: Site) -> None:
    """Both models are the shipped ones, written once more: they agree in everything."""
    for model, version in site.published.items():
        shipped = site.artefacts.shipped(model)
        site.step(steps.start_shadow, model, version=version, share=1.0, shipped=shipped)
    urls = {"piano": site.stack.http_url, "symbols": site.stack.omr_http_url}

    def told(name: str, model: str, **labels: str) -> float:
        version = site.published[model].number
        return site.metric(name, url=urls[model], model=model, version=version, **labels)

    for model in urls:
        wait_for(partial(lambda model: told("copyist_release_share", model, role="shadow") == 1, model))
    assert site.answering("r") == site.old
    page = httpx.post(
        f"{site.stack.omr_http_url}/v1/recognize", files={"file": PAGE.read_bytes()}, timeout=120
    ).json()
    assert page["model"]["version"] == site.artefacts.shipped("symbols").number
    for model in urls:
        # Counted when all else is told.
        wait_for(
            partial(lambda model: told("copyist_shadow_requests_total", model, outcome="ok") == 1, model)
        )
        assert told("copyist_shadow_agreement_count", model) == 1
        assert told("copyist_shadow_agreement_sum", model) == pytest.approx(1.0)
        assert told("copyist_model_calls_total", model) == told(
            "copyist_model_calls_total", model, outcome="ok"
        )
