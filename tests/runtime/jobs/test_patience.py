"""What is tried again, and for how long."""

from __future__ import annotations

import errno
import itertools
from types import SimpleNamespace

import pytest

from services.errors import (
    DatabaseUnavailableError,
    InputError,
    ModelUnavailableError,
    OverloadedError,
    StorageUnavailableError,
)
from services.runtime.files import StorageFullError
from services.runtime.jobs import patience
from services.runtime.jobs.patience import patience_s, patiently


def caused_by(error: Exception) -> Exception:
    try:
        raise ValueError("what a library makes of it") from error
    except ValueError as wrapped:
        return wrapped


@pytest.mark.parametrize(
    ("error", "least_s", "most_s"),
    [
        (DatabaseUnavailableError("away"), 10_000, float("inf")),
        (ModelUnavailableError("away"), 600, 3600),
        (OverloadedError("full"), 600, 3600),
        (StorageUnavailableError("away"), 60, 600),
        (StorageFullError("full"), 1, 30),
        (OSError(errno.ENOSPC, "full"), 1, 30),
        (caused_by(OSError(errno.ENOSPC, "full")), 1, 30),
        (InputError("no music"), 0, 0),
        (OSError(errno.EIO, "broken"), 0, 0),
        (KeyError("a slip"), 0, 0),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, least_s: float, most_s: float) -> None:
    assert least_s <= patience_s(error) <= most_s


async def test_work_is_done_again_from_its_beginning_until_it_succeeds() -> None:
    calls, told = [], []

    async def work() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise ModelUnavailableError(f"away {len(calls)}")
        return "done"

    assert await patiently(work, waits=lambda error: told.append(str(error))) == "done"
    assert told == ["away 1", "away 2"]


async def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    tried_at = []
    now = 1000.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(patience, "asyncio", SimpleNamespace(sleep=sleep))

    async def work() -> None:
        tried_at.append(now)
        raise StorageUnavailableError("away")

    with pytest.raises(StorageUnavailableError):
        await patiently(work)

    limit_s, longest_s = patience.STORAGE_PATIENCE_S, 1.2 * patience._LONGEST_WAIT_S
    assert limit_s - longest_s < now - 1000 <= limit_s + longest_s
    waits_s = [later - sooner for sooner, later in itertools.pairwise(tried_at)]
    assert waits_s[0] < waits_s[2] < waits_s[4] <= longest_s


async def test_what_will_not_pass_is_not_tried_again() -> None:
    calls = []

    async def work() -> None:
        calls.append(1)
        raise InputError("no music")

    with pytest.raises(InputError):
        await patiently(work)

    assert len(calls) == 1
