"""When a worker counts as lost, and who works beside whom."""

from __future__ import annotations

import asyncio

from services.runtime.jobs.room import Room
from services.runtime.jobs.takeover import Silence


def test_a_name_is_lost_after_its_sign_has_not_changed_for_the_limit() -> None:
    silence = Silence(10)
    for moment in range(0, 11, 2):
        assert silence.lost(["still", "alive"], {"still": 1, "alive": moment}, moment) == set()

    assert silence.lost(["still", "alive"], {"still": 1, "alive": 11}, 11) == {"still"}
    assert silence.lost(["still", "alive"], {"still": 2, "alive": 11}, 12) == set()


def test_a_name_without_a_sign_is_lost_after_the_limit() -> None:
    silence = Silence(10)
    assert silence.lost(["gone"], {}, 0) == set()
    assert silence.lost(["gone"], {}, 4) == set()
    assert silence.lost(["gone"], {}, 8) == set()
    assert silence.lost(["gone"], {}, 11) == {"gone"}


def test_who_did_not_look_for_long_does_not_judge() -> None:
    silence = Silence(10)
    silence.lost(["other"], {"other": 1}, 0)

    # This process was paused, or the database away: the other may have lived all the time.
    assert silence.lost(["other"], {"other": 1}, 60) == set()
    assert silence.lost(["other"], {"other": 1}, 64) == set()
    assert silence.lost(["other"], {"other": 1}, 68) == set()
    assert silence.lost(["other"], {"other": 1}, 71) == {"other"}


def test_names_that_are_not_watched_any_more_are_forgotten() -> None:
    silence = Silence(10)
    for moment in range(0, 100, 4):
        silence.lost([f"{moment}"], {}, moment)

    assert len(silence._seen) == 1


async def test_a_suspect_is_alone() -> None:
    room = Room()
    inside: list[str] = []
    most: list[int] = []

    async def visit(name: str, *, alone: bool) -> None:
        await room.enter(alone=alone)
        inside.append(name)
        if any(other.startswith("suspect") for other in inside):
            assert inside == [name]
        most.append(len(inside))
        await asyncio.sleep(0.005)
        inside.remove(name)
        await room.leave()

    visits = [visit(f"job {n}", alone=False) for n in range(20)]
    visits += [visit(f"suspect {n}", alone=True) for n in range(3)]
    visits += [visit(f"late {n}", alone=False) for n in range(20)]
    await asyncio.wait_for(asyncio.gather(*visits), 60)

    assert max(most) > 1


async def test_who_gives_up_waiting_for_room_keeps_none() -> None:
    room = Room()
    await room.enter(alone=False)
    waiting = asyncio.create_task(room.enter(alone=True))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait((waiting,))

    await asyncio.wait_for(room.enter(alone=False), 60)
