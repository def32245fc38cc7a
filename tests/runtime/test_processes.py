"""Processes that die, hang, or are not needed any more."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from services.errors import CopyistError, NotationError
from services.runtime.problems import TimedOutError
from services.runtime.processes import Processes


def _ready() -> None:
    os.environ["WARMED_UP"] = "yes"


def _warmed_up() -> str | None:
    return os.environ.get("WARMED_UP")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fail() -> None:
    raise NotationError("a bad score", remedy="none")


@pytest.fixture
async def processes() -> AsyncIterator[Processes]:
    made = Processes(1, warm_up=_ready, max_s=120)
    yield made
    made.close()


async def test_calls_run_in_a_warmed_up_process_of_their_own(processes: Processes) -> None:
    await processes.warm_up()
    assert await processes.run(os.getpid) != os.getpid()
    assert await processes.run(_warmed_up) == "yes"


async def test_errors_come_back_as_they_are(processes: Processes) -> None:
    with pytest.raises(NotationError, match="a bad score") as caught:
        await processes.run(_fail)
    assert caught.value.remedy == "none"


async def test_a_process_that_dies_is_replaced(processes: Processes) -> None:
    with pytest.raises(CopyistError, match="died"):
        await processes.run(_die)
    assert await processes.run(_warmed_up) == "yes"


async def test_a_call_that_takes_too_long_is_ended(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await processes.warm_up()
    ended = psutil.Process(await processes.run(os.getpid))
    with monkeypatch.context() as hasty:
        hasty.setattr(processes, "_max_s", 0.5)
        with pytest.raises(TimedOutError, match=r"limit of 0\.5 s"):
            await processes.run(time.sleep, 600)
    gone, _ = await asyncio.to_thread(psutil.wait_procs, [ended], 60)
    assert gone == [ended]
    assert await processes.run(_warmed_up) == "yes"


async def test_cancelling_ends_the_process(processes: Processes) -> None:
    await processes.warm_up()
    pid = await processes.run(os.getpid)
    call = asyncio.create_task(processes.run(time.sleep, 600))
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await processes.run(os.getpid) != pid
