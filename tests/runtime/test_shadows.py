"""Copies of requests for versions in the shadow: after the answer, few at a time, in nobody's way."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY

from services.errors import ModelError
from services.runtime import afterwards, logs, shadows
from services.runtime.shadows import MOST_BYTES, Copy, Shadows


class Counted:
    """Copies for a model of a name that no other test has used."""

    def __init__(self) -> None:
        self.model = uuid.uuid4().hex
        self.shadows = Shadows()
        self.running = self.most = self.done = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    def offer(self, compare: Callable[[], Awaitable[float]] | None = None, size_bytes: int = 1000) -> None:
        self.shadows.offer(Copy(self.model, "2", size_bytes, compare or self.compare))

    async def compare(self) -> float:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.go_on.wait()
        await asyncio.sleep(0)
        self.running -= 1
        self.done += 1
        return 0.75

    def outcomes(self, outcome: str) -> float:
        labels = {"model": self.model, "version": "2", "outcome": outcome}
        return REGISTRY.get_sample_value("copyist_shadow_requests_total", labels) or 0

    def agreement(self, what: str) -> float | None:
        labels = {"model": self.model, "version": "2"}
        return REGISTRY.get_sample_value(f"copyist_shadow_agreement_{what}", labels)

    async def settled(self) -> None:
        async with asyncio.timeout(60):
            while self.shadows._kept:  # noqa: ASYNC110 - nothing tells when it is done
                await asyncio.sleep(0.01)


@pytest.fixture
async def counted() -> Counted:
    return Counted()


async def test_copies_are_made_one_at_a_time_and_their_agreement_is_told(counted: Counted) -> None:
    for _ in range(4):
        counted.offer()
    await counted.settled()
    assert (counted.done, counted.most) == (4, 1)
    assert counted.outcomes("ok") == 4
    assert (counted.agreement("count"), counted.agreement("sum")) == (4, 3.0)


async def test_a_copy_is_made_after_the_answer_and_only_if_there_is_one(counted: Counted) -> None:
    with logs.bind(request_id="r"), afterwards.collected() as later:
        await asyncio.create_task(_offering(counted))
        await asyncio.sleep(0.05)
        assert counted.done == 0
    for begin in later:
        begin(True)
    await counted.settled()
    assert counted.done == 1
    with afterwards.collected() as later:
        counted.offer()
    for begin in later:
        begin(False)
    await counted.settled()
    assert counted.done == 1, "a request that failed is not copied, and what it kept is let go"


async def _offering(counted: Counted) -> None:
    counted.offer(lambda: _alone(counted))


async def _alone(counted: Counted) -> float:
    assert logs.bound() == {}, "it belongs to no request"
    return await counted.compare()


async def test_more_than_can_be_kept_is_dropped(counted: Counted) -> None:
    counted.go_on.clear()
    for _ in range(20):
        counted.offer()
    counted.go_on.set()
    await counted.settled()
    assert (counted.done, counted.outcomes("ok"), counted.outcomes("dropped")) == (8, 8, 12)
    counted.offer(size_bytes=MOST_BYTES + 1)
    counted.offer(size_bytes=MOST_BYTES)
    counted.offer(size_bytes=1)
    assert counted.outcomes("dropped") == 14
    await counted.settled()
    assert counted.done == 9


async def test_a_copy_that_fails_or_takes_too_long_is_counted_and_the_next_is_made(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wrong() -> float:
        raise ModelError("shapes")

    async def broken() -> float:
        raise ZeroDivisionError

    async def endless() -> float:
        # Its own limit is set; those that come after it are to have all the time that they need.
        monkeypatch.undo()
        await asyncio.sleep(600)
        return 1.0

    monkeypatch.setattr(shadows, "_LIMIT_S", 0.05)
    for compare in (endless, wrong, broken, None):
        counted.offer(compare)
    await counted.settled()
    assert {
        name: counted.outcomes(name) for name in ("model-error", "internal-error", "timed-out", "ok")
    } == {
        "model-error": 1,
        "internal-error": 1,
        "timed-out": 1,
        "ok": 1,
    }
    assert counted.agreement("count") == 1


async def test_closing_ends_what_is_under_way(counted: Counted) -> None:
    counted.go_on.clear()
    for _ in range(3):
        counted.offer()
    await asyncio.sleep(0.01)
    await counted.shadows.close()
    assert counted.done == 0
    await Shadows().close()
