"""Rounds go on whatever becomes of one of them, and say so when they do not."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from services.errors import DatabaseUnavailableError
from services.runtime.rounds import HungError, Rounds
from tests.waiting import wait_for


class Scripted(Rounds):
    """Rounds of which each does the next thing on a list, and the later ones nothing."""

    def __init__(self, *script: Callable[[], object], every_s: float = 0.01, hung_s: float = 60) -> None:
        super().__init__("scripted", every_s=every_s, hung_s=hung_s)
        self.script = list(script)
        self.taken = 0

    def round(self) -> None:
        self.taken += 1
        if self.script:
            self.script.pop(0)()


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """What rounds may wait for; it comes at the end of the test at the latest."""
    event = threading.Event()
    yield event
    event.set()


def away() -> None:
    raise DatabaseUnavailableError("The database does not answer.")


def broken() -> None:
    raise ValueError("nobody foresaw this")


def test_a_database_that_is_away_is_told_until_a_round_reaches_it(released: threading.Event) -> None:
    rounds = Scripted(away, released.wait)
    rounds.start()
    wait_for(lambda: rounds.taken == 2)
    with pytest.raises(DatabaseUnavailableError):
        rounds.check()
    released.set()
    wait_for(lambda: rounds.taken > 3)
    rounds.check()
    rounds.stop()


def test_a_round_that_fails_is_told_in_the_log_and_followed_by_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rounds = Scripted(broken)
    with caplog.at_level(logging.ERROR, "copyist.rounds"):
        rounds.start()
        wait_for(lambda: rounds.taken > 3)
        rounds.stop()
    (record,) = (record for record in caplog.records if record.name == "copyist.rounds")
    assert "a round of the scripted failed" in record.message
    assert "nobody foresaw this" in caplog.text


def test_a_round_that_does_not_end_is_noticed_and_does_not_hold_up_the_end(
    released: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.runtime.rounds._ENDING_S", 0.2)
    rounds = Scripted(released.wait, hung_s=0.1)
    rounds.check_alive()
    rounds.start()
    wait_for(lambda: rounds.taken == 1)
    time.sleep(0.15)
    with pytest.raises(HungError, match="scripted"):
        rounds.check_alive()
    rounds.check()
    began = time.monotonic()
    rounds.stop()
    assert time.monotonic() - began < 30
    assert not released.is_set(), "the round is still under way"


def test_rounds_come_when_they_are_due_or_woken_and_not_after_the_end() -> None:
    rounds = Scripted(every_s=60)
    rounds.start()
    wait_for(lambda: rounds.taken == 1)
    rounds.wake()
    wait_for(lambda: rounds.taken == 2)
    time.sleep(0.1)
    assert rounds.taken == 2
    rounds.stop()
    rounds.wake()
    time.sleep(0.1)
    assert rounds.taken == 2


def test_a_round_can_be_the_last_by_its_own_choice() -> None:
    rounds = Scripted()
    rounds.script.append(rounds.finish)
    rounds.start()
    wait_for(lambda: not any(each.name == "scripted" for each in threading.enumerate()))
    assert rounds.taken == 1
