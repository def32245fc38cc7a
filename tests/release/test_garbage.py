"""A small form of `make test-release`: a candidate that answers garbage is rolled back by itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from loadtests.samples import SHORT_S, recording
from services.local import stack as stacks
from services.local.options import watching
from services.local.stack import LocalStack
from services.operate.canary.watcher import BY
from services.runtime.release import steps
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import ReleaseBoard, open_board
from tests.releasing import publish_made
from tests.spoiled_models import garbage
from tests.waiting import wait_for

pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("prometheus") is None or shutil.which("prometheus-alertmanager") is None,
        reason="Prometheus or its Alertmanager is not installed",
    ),
]

MODEL = "piano"


@pytest.fixture
def watched(stack: LocalStack) -> Iterator[LocalStack]:
    """The stack with what watches it, as `make monitor` starts it."""
    options = watching(stack.options)
    stacks.up(options, lambda _: None, owned=True)
    yield stack
    stacks.down(options, lambda _: None)


def on_trial(board: ReleaseBoard) -> bool:
    """Whether a canary serves."""
    return board.read().models[MODEL].canary is not None


def test_a_candidate_that_answers_garbage_is_rolled_back_by_itself(watched: LocalStack) -> None:
    options = watched.options
    version = publish_made(options, MODEL, garbage)
    board = open_board(options.release_url)
    shipped = Artefacts(options.models_url, options.model_repository).shipped(MODEL)
    steps.apply(board, lambda now: steps.start_canary(now, MODEL, version, 0.5, shipped=shipped, by="a test"))
    file = recording(SHORT_S)

    def transcribe(_: int) -> tuple[int, str]:
        answer = httpx.post(
            f"{watched.http_url}/v1/transcribe", files={"file": (file.name, file.content)}, timeout=120
        )
        return answer.status_code, answer.json()["model"]["version"]

    answers: list[tuple[int, str]] = []
    deadline = time.monotonic() + 600
    with ThreadPoolExecutor(2) as callers:
        while on_trial(board):
            assert time.monotonic() < deadline
            answers += callers.map(transcribe, range(4))
    assert {status for status, _ in answers} == {200}
    assert version.number in {number for _, number in answers}, "it was on trial"
    change = board.read().change
    assert (change.by, change.what) == (BY, f"roll back canary {MODEL} {version.number}")
    assert "PSI against the stable version" in change.why or "notes_found failed" in change.why
    wait_for(lambda: transcribe(0) == (200, shipped.number), 60)
