"""The chaos test's own judgement: what it draws, and what it would find fault with."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

from loadtests.chaos.checks import Check, check_leftovers, check_logs
from loadtests.chaos.killing import STAGES, plan
from loadtests.chaos.orders import CONTENTS, orders
from loadtests.chaos.stagelogs import read_logs


def _write(path: Path, *lines: tuple[float, str, str, str]) -> None:
    entries = [
        json.dumps({"time": f"2026-01-01T00:00:{second:06.3f}Z", "message": what, "job": job, "stage": stage})
        for second, what, job, stage in lines
    ]
    path.write_text("\n".join(["not JSON", *entries, '{"time": "2026-01-01T0']))


def _broken(checks: list[Check]) -> set[str]:
    return {check.what for check in checks if check.broken}


def test_a_stage_that_begins_again_before_its_end_is_well(tmp_path: Path) -> None:
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    _write(first, (1, "stage began", "a", "transcribing"))
    _write(
        second,
        (2, "stage began", "a", "transcribing"),
        (3, "stage ended", "a", "transcribing"),
        (4, "stage began", "a", "engraving"),
        (5, "stage ended", "a", "engraving"),
        (6, "job ended: completed", "a", ""),
    )
    logs = read_logs([first, second, tmp_path / "never-written.log"])
    assert (logs.began, logs.ended, logs.again) == (3, 2, ())
    assert logs.completed == Counter(a=1)
    assert _broken(check_logs(logs, ["a"])) == set()


def test_a_stage_that_begins_again_after_its_end_is_found_across_workers(tmp_path: Path) -> None:
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    _write(
        first,
        (1, "stage began", "a", "transcribing"),
        (2, "stage ended", "a", "transcribing"),
        (9, "job ended: completed", "a", ""),
    )
    _write(second, (3, "stage began", "a", "transcribing"), (8, "job ended: completed", "a", ""))
    logs = read_logs([second, first])
    assert logs.again == (("a", "transcribing"),)
    assert _broken(check_logs(logs, ["a"])) == {
        "no stage began again after it had ended",
        "no job completed twice",
    }


def test_logs_that_tell_nothing_prove_nothing(tmp_path: Path) -> None:
    assert "the workers' logs tell of the stages" in _broken(check_logs(read_logs([]), ["a"]))


def test_files_that_are_left_are_found(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    assert _broken(check_leftovers(tmp_path)) == set()
    (tmp_path / "tmp" / "left").write_bytes(b"")
    assert _broken(check_leftovers(tmp_path)) == {"no temporary file is left"}


def test_a_plan_kills_a_worker_in_every_stage_and_every_program() -> None:
    targets = plan(random.Random(3), rounds=2, database=True)
    counted = Counter(target.name for target in targets)
    assert counted == Counter(
        {f"{service} worker, {stage.value}": 2 for service, stage in STAGES}
        | dict.fromkeys(("amt", "omr", "triton", "database"), 2)
    )
    assert targets == plan(random.Random(3), rounds=2, database=True)
    assert targets != plan(random.Random(4), rounds=2, database=True)
    assert "database" not in {target.name for target in plan(random.Random(3), rounds=1, database=False)}


def test_orders_are_of_both_services_and_all_contents_and_no_two_are_the_same() -> None:
    placed = orders(2 * 2 * CONTENTS, "run")
    assert len({order.key for order in placed}) == len(placed)
    assert Counter((order.service, order.content) for order in placed) == {
        (service, content): 2 for service in ("amt", "omr") for content in range(CONTENTS)
    }
    assert len({order.file.content for order in placed}) == 2 * CONTENTS
