"""Limits per owner: how often, and how many at once."""

from __future__ import annotations

import pytest

from services.errors import OverloadedError, RateLimitedError
from services.runtime.door import limits
from services.runtime.door.limits import ConcurrencyLimit, RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def _taken(limit: RateLimit, owner: str, tries: int) -> int:
    taken = 0
    for _ in range(tries):
        try:
            limit.take(owner)
            taken += 1
        except RateLimitedError:
            pass
    return taken


def test_a_full_minute_may_come_at_once_and_then_evenly() -> None:
    clock = Clock()
    limit = RateLimit(60, clock)
    assert _taken(limit, "a", 100) == 60
    clock.now += 10
    assert _taken(limit, "a", 100) == 10
    clock.now += 0.5
    assert _taken(limit, "a", 100) == 0
    clock.now += 0.5
    assert _taken(limit, "a", 100) == 1
    clock.now += 3600
    assert _taken(limit, "a", 100) == 60


def test_waiting_as_long_as_told_is_enough() -> None:
    clock = Clock()
    limit = RateLimit(2, clock)
    assert _taken(limit, "a", 2) == 2
    clock.now += 3
    with pytest.raises(RateLimitedError, match="more than 2 calls") as caught:
        limit.take("a")
    assert caught.value.retry_after_s == 27
    clock.now += caught.value.retry_after_s
    limit.take("a")


def test_one_owner_does_not_take_from_another() -> None:
    limit = RateLimit(5, Clock())
    assert [_taken(limit, owner, 10) for owner in ("a", "b")] == [5, 5]


def test_owners_are_forgotten_when_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_OWNERS", 3)
    limit = RateLimit(1, Clock())
    for owner in "abcd":
        limit.take(owner)
    assert len(limit._full_at) == 3
    with pytest.raises(RateLimitedError):
        limit.take("d")


def test_so_many_at_once_and_no_more() -> None:
    limit = ConcurrencyLimit(2, "calls", "COPYIST_X")
    with limit.hold("a"), limit.hold("b"):
        with limit.hold("a"), pytest.raises(OverloadedError, match="2 calls"), limit.hold("a"):
            raise AssertionError("a third was let in")
        with limit.hold("a"):
            pass
    assert not limit._served


def test_a_call_that_fails_gives_its_place_back() -> None:
    limit = ConcurrencyLimit(1, "calls", "COPYIST_X")
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), limit.hold("a"):
            raise ZeroDivisionError
    assert not limit._served
