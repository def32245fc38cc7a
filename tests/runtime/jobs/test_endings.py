"""Jobs that end otherwise than well, and what becomes of the others meanwhile."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from services.runtime.jobs.job import Job, JobState
from tests.databases import wait_until
from tests.runtime.jobs.conftest import MakeFleet
from tests.runtime.jobs.fleet import Fleet

pytestmark = pytest.mark.slow


@contextmanager
def supervised(fleet: Fleet, name: str) -> Iterator[None]:
    """Start a worker anew whenever it ends, as a supervisor does."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            if fleet.workers[name].poll() is not None:
                fleet.start(name)

    thread = threading.Thread(target=watch)
    fleet.start(name)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def problem_of(job: Job) -> str:
    assert job.state is JobState.FAILED, job
    assert job.problem is not None
    assert job.problem["instance"] == job.submission.request_id
    assert job.problem["detail"]
    kind: str = job.problem["type"]
    return kind.removeprefix("urn:copyist:problem:")


def test_a_job_that_ends_its_worker_each_time_fails_and_takes_no_other_along(small_fleet: MakeFleet) -> None:
    fleet = small_fleet(worker_jobs=3, max_job_attempts=2)
    # Long enough that some are always under way beside it.
    others = [fleet.submit(f"{number}", stage_s="0.4") for number in range(4)]
    poison = fleet.submit("poison", crash="transcribing")
    others += [fleet.submit(f"{number}", stage_s="0.4") for number in range(4, 8)]

    with supervised(fleet, "only"):
        ended = fleet.wait_finished([poison, *others])

    assert problem_of(ended[0]) == "job-crashes"
    for job in ended[1:]:
        fleet.check_result(job)
    assert fleet.begun(poison) == ["separating", "transcribing", "transcribing"]


def test_failures_are_told_as_problems(small_fleet: MakeFleet) -> None:
    fleet = small_fleet(worker_jobs=4, max_job_s=8)
    fleet.start("only")
    music = fleet.submit("music", fail="transcribing")
    bug = fleet.submit("bug", bug="separating")
    slow = fleet.submit("slow", long="separating")
    damaged = fleet.submit("damaged")
    (fleet.folder / "files" / "jobs" / damaged.id / "input" / "0").write_bytes(b"other")
    good = fleet.submit("good")

    kinds = [problem_of(job) for job in fleet.wait_finished([music, bug, slow, damaged])]

    assert kinds == ["unreadable-media", "internal-error", "timed-out", "damaged-file"]
    assert (fleet.job(music).problem or {})["remedy"] == "Send music."
    assert "a slip" not in str(fleet.job(bug).problem)
    assert "a slip" in (fleet.folder / "only.log").read_text()
    assert "COPYIST_MAX_JOB_S" in str(fleet.job(slow).problem)
    fleet.check_result(fleet.wait_finished([good])[0])


def test_jobs_wait_while_the_model_server_is_away(small_fleet: MakeFleet) -> None:
    fleet = small_fleet()
    fleet.start("only")
    job = fleet.submit("1", away="transcribing")
    waiting = fleet.wait(job, lambda now: "not available" in now.message)
    assert waiting.state is JobState.TRANSCRIBING
    wait_until(lambda: fleet.begun(job).count("transcribing") >= 3, "it is tried again")
    assert fleet.job(job).attempts == 1
    fleet.model.touch()

    (ended,) = fleet.wait_finished([job])

    fleet.check_result(ended)
    assert ended.attempts == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_fails_what_does_not_fit_and_nothing_else(small_fleet: MakeFleet, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        fleet = small_fleet(worker_jobs=2)
        fleet.start("only", TMPDIR=str(disk))
        big_work = fleet.submit("work", full="transcribing")
        big_upload = fleet.submit("upload", content=bytes(16 << 20))
        others = [fleet.submit(f"{number}") for number in range(4)]

        ended = fleet.wait_finished([big_work, big_upload, *others])

        assert [problem_of(job) for job in ended[:2]] == ["storage-unavailable"] * 2
        for job in ended[2:]:
            fleet.check_result(job)
        wait_until(lambda: not list(disk.rglob("*input*")), "local files are removed")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_jobs_can_be_cancelled_in_every_state(small_fleet: MakeFleet) -> None:
    fleet = small_fleet(worker_jobs=4)
    never = fleet.submit("never", stage_s="5")
    assert fleet.store.cancel("amt", "somebody", never.id).state is JobState.CANCELLED
    fleet.start("only")
    states = (JobState.SEPARATING, JobState.TRANSCRIBING, JobState.ENGRAVING)
    waits = fleet.submit("waits", away="separating")
    jobs: dict[JobState, Job] = {}
    for state in states:
        # Only the stage in which it is cancelled lasts: ten minutes, if it went on.
        jobs[state] = job = fleet.submit(state.value, long=state.value)
        fleet.wait(job, lambda now, state=state: now.state is state)  # type: ignore[misc]
        fleet.store.cancel("amt", "somebody", job.id)
        fleet.wait(job, lambda now: now.state is JobState.CANCELLED, 30)
    fleet.wait(waits, lambda now: "not available" in now.message)
    fleet.store.cancel("amt", "somebody", waits.id)

    fleet.wait(waits, lambda now: now.state is JobState.CANCELLED)

    assert never.id not in {line.job for line in fleet.lines()}
    for job in jobs.values():
        assert fleet.job(job).problem is None
        assert not fleet.job(job).cancelling
    # What was cancelled takes no place from others.
    fleet.check_result(fleet.wait_finished([fleet.submit("next")])[0])


def test_progress_is_told_twice_a_second_at_most_and_never_falls(small_fleet: MakeFleet) -> None:
    fleet = small_fleet()
    # The database itself writes down all that it is told.
    with fleet.database.begin() as connection:
        connection.execute(sa.text("CREATE TABLE told (state TEXT, percent INTEGER)"))
        write = "INSERT INTO told VALUES (new.state, new.progress_percent)"
        connection.execute(sa.text(f"CREATE TRIGGER tell AFTER UPDATE ON jobs BEGIN {write}; END"))
    fleet.start("only")
    began = time.monotonic()
    (job,) = fleet.wait_finished([fleet.submit("1", stage_s="1.5")])
    took_s = time.monotonic() - began

    with fleet.database.read() as connection:
        states, percents = zip(*connection.execute(sa.text("SELECT * FROM told ORDER BY rowid")), strict=True)
    assert list(percents) == sorted(percents)
    assert len(set(percents)) > 5
    assert set(states) >= {JobState.SEPARATING, JobState.TRANSCRIBING, JobState.ENGRAVING}
    # Beside progress, each beginning and end of the job, a stage and a file is a change of its own.
    assert job.version <= 2 * took_s + 10


def test_a_worker_tells_of_its_health_and_metrics(small_fleet: MakeFleet) -> None:
    fleet = small_fleet()
    fleet.start("only")
    fleet.wait_finished([fleet.submit("1"), fleet.submit("2", fail="separating")])
    with httpx.Client(base_url=f"http://127.0.0.1:{fleet.ports['only']}", timeout=60) as http:
        assert http.get("/livez").text == "alive\n"
        assert http.get("/readyz").status_code == 200
        # Jobs are told to have ended before the worker has counted them, and let go of them.
        for told in (
            'copyist_jobs_under_way{service="amt"} 0.0',
            'copyist_jobs_finished_total{service="amt",state="completed"} 1.0',
            'copyist_jobs_finished_total{service="amt",state="failed"} 1.0',
            'copyist_job_stage_seconds_count{service="amt",stage="engraving"} 1.0',
            'copyist_job_stage_seconds_count{service="amt",stage="queued"} 2.0',
            'copyist_jobs{service="amt",state="queued"}',
        ):
            wait_until(lambda told=told: told in http.get("/metrics").text, told)  # type: ignore[misc]
