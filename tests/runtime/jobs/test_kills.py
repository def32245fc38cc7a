"""Workers that are killed, stopped, paused or lose their database: every job is done once."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from services.errors import DatabaseUnavailableError
from services.runtime.files import job_folder
from services.runtime.jobs.job import JobState
from tests.databases import PostgresServer, wait_until
from tests.runtime.jobs.conftest import MakeFleet
from tests.runtime.jobs.fleet import LOST_S, STAGES
from tests.runtime.jobs.proxy import way_to
from tests.waiting import wait_for

JOBS = 50
pytestmark = pytest.mark.slow


def test_fifty_jobs_outlive_the_kill_of_a_worker_in_each_stage(any_fleet: MakeFleet) -> None:
    fleet = any_fleet(worker_jobs=4)
    fleet.start("first", "second")
    jobs = [fleet.submit(f"{number}", b"%d" % number, stage_s="0.3") for number in range(JOBS)]
    killed = []
    for stage in STAGES:
        name, job_id = fleet.catch(stage)
        fleet.kill(name)
        killed.append(job_id)
        # The other one lives; a replacement has a name of its own, as new pods have.
        fleet.start(f"after-{stage}")

    ended = fleet.wait_finished(jobs)

    for number, job in enumerate(ended):
        fleet.check_result(job, b"%d" % number)
    fleet.check_stages_ran_in_order()
    again = [job for job in ended if job.attempts > 1]
    assert set(killed) <= {job.id for job in again}
    assert fleet.store.counts("amt").by_state == {JobState.COMPLETED: JOBS}


def test_another_worker_takes_over_within_a_minute(large_fleet: MakeFleet) -> None:
    fleet = large_fleet()
    fleet.start("first", "second")
    job = fleet.submit("1", held="transcribing")
    name, _ = fleet.busy("transcribing")
    fleet.kill(name)
    killed = time.monotonic()

    fleet.wait(job, lambda now: now.attempts == 2)

    # The limit stands for 20 s by default, after which the same steps follow.
    assert time.monotonic() - killed < LOST_S + 40
    fleet.model.touch()
    fleet.check_result(fleet.wait_finished([job])[0])
    assert fleet.begun(job) == ["separating", "transcribing", "transcribing", "engraving"]


def test_a_worker_that_is_started_again_goes_on_at_once(small_fleet: MakeFleet) -> None:
    fleet = small_fleet(worker_lost_s=600)
    fleet.start("only")
    job = fleet.submit("1", held="transcribing")
    fleet.busy("transcribing")
    fleet.kill("only")
    fleet.start("only")

    # By others it would be taken after ten minutes.
    fleet.wait(job, lambda now: now.attempts == 2, 60)
    fleet.model.touch()

    fleet.check_result(fleet.wait_finished([job])[0])
    fleet.check_stages_ran_in_order()


def test_what_a_killed_worker_had_begun_to_write_goes_with_the_end_of_its_job(small_fleet: MakeFleet) -> None:
    fleet = small_fleet()
    fleet.start("only")
    job = fleet.submit("1", held="transcribing")
    fleet.busy("transcribing")
    folder = Path(fleet.settings.files_url) / job_folder(job.id)
    (folder / "files").mkdir(parents=True, exist_ok=True)
    (folder / "files" / "page.00000000.part").write_bytes(b"half a pa")
    fleet.model.touch()
    fleet.check_result(fleet.wait_finished([job])[0])
    wait_for(lambda: not list(folder.rglob("*.part")))


def test_a_worker_that_was_paused_neither_writes_nor_ends_what_another_has_now(
    large_fleet: MakeFleet,
) -> None:
    fleet = large_fleet()
    fleet.start("one", "two")
    job = fleet.submit("1", held="transcribing")
    paused, _ = fleet.catch("transcribing")
    other = "two" if paused == "one" else "one"
    fleet.wait(job, lambda now: now.attempts == 2)
    wait_until(lambda: fleet.begun(job).count("transcribing") == 2, "the other one goes on")
    fleet.signal(paused, signal.SIGCONT)
    wait_until(lambda: not fleet.jobs_under_way(paused), "it notices that the job is another's")
    fleet.model.touch()

    (ended,) = fleet.wait_finished([job])

    fleet.check_result(ended)
    assert ended.attempts == 2
    pids = {name: process.pid for name, process in fleet.workers.items()}
    finished = [(line.stage, line.pid) for line in fleet.lines() if line.what == "ends"]
    assert ("transcribing", pids[paused]) not in finished, "it noticed that the job was another's"
    assert [stage for stage, _ in finished] == list(STAGES)
    # It goes on as a worker like any other.
    fleet.kill(other)
    fleet.check_result(fleet.wait_finished([fleet.submit("2")])[0])


def test_a_worker_that_is_told_to_stop_ends_what_it_can_and_hands_back_the_rest(
    large_fleet: MakeFleet,
) -> None:
    fleet = large_fleet(worker_jobs=2, max_job_attempts=1, drain_s=10)
    fleet.start("stopping")
    short, long = fleet.submit("short", held="separating"), fleet.submit("long", long="separating")
    fleet.wait(long, lambda now: now.state is JobState.SEPARATING)
    fleet.wait(short, lambda now: now.state is JobState.SEPARATING)
    fleet.signal("stopping", signal.SIGTERM)

    late = fleet.submit("late", stage_s="0.1")
    fleet.model.touch()

    assert fleet.workers["stopping"].wait(timeout=120) == 0
    assert fleet.job(short).state is JobState.COMPLETED
    assert fleet.job(late).state is JobState.QUEUED
    assert fleet.job(late).attempts == 0
    waiting = fleet.job(long)
    assert (waiting.state, waiting.attempts) == (JobState.QUEUED, 1)
    fleet.store.cancel("amt", "somebody", long.id)
    fleet.start("next")
    # One attempt is all that is allowed, and a stop in order is no reason to doubt the job.
    fleet.check_result(fleet.wait_finished([late])[0])


def test_handed_back_jobs_go_on_elsewhere_at_once(small_fleet: MakeFleet) -> None:
    fleet = small_fleet(max_job_attempts=1, worker_lost_s=600, drain_s=1)
    fleet.start("one", "two")
    job = fleet.submit("1", held="separating")
    stopping, _ = fleet.busy("separating")
    fleet.signal(stopping, signal.SIGTERM)

    # Had it not been handed back, others would wait ten minutes.
    fleet.wait(job, lambda now: now.attempts == 2, 60)
    fleet.model.touch()

    fleet.check_result(fleet.wait_finished([job])[0])


def test_jobs_outlive_the_loss_of_the_database(
    large_fleet: MakeFleet, postgres_server: PostgresServer
) -> None:
    fleet = large_fleet(worker_jobs=2)
    fleet.start("first", "second")
    jobs = [fleet.submit(f"{number}", b"%d" % number, stage_s="1.5") for number in range(8)]
    fleet.busy("transcribing")
    postgres_server.kill()
    try:
        with pytest.raises(DatabaseUnavailableError):
            fleet.submit("meanwhile")
        with pytest.raises(DatabaseUnavailableError):
            fleet.store.find("amt", "somebody", jobs[0].id)
        wait_until(lambda: not fleet.is_ready("first"), "the worker tells that it is not ready")
        # Longer than a worker may be silent: none must take another's jobs as none could tell that it lives.
        time.sleep(2 * fleet.settings.worker_lost_s)
    finally:
        postgres_server.start()

    ended = fleet.wait_finished(jobs)

    for number, job in enumerate(ended):
        fleet.check_result(job, b"%d" % number)
    fleet.check_stages_ran_in_order()
    wait_until(lambda: fleet.is_ready("first"), "the worker is ready again")
    assert all(process.poll() is None for process in fleet.workers.values())
    assert {job.attempts for job in ended} == {1}
    fleet.check_result(fleet.wait_finished([fleet.submit("meanwhile")])[0])


def test_a_worker_that_alone_lost_the_database_loses_its_job_and_comes_back(
    large_fleet: MakeFleet, postgres_server: PostgresServer
) -> None:
    fleet = large_fleet()
    with way_to(postgres_server.port) as way:
        cut_off = fleet.settings.database_url.replace(f":{postgres_server.port}/", f":{way.port}/")
        fleet.start("cut-off", COPYIST_DATABASE_URL=cut_off)
        job = fleet.submit("1", stage_s="6")
        fleet.busy("separating")
        way.cut()
        fleet.start("other")
        fleet.wait(job, lambda now: now.attempts == 2)
        way.mend()
        (ended,) = fleet.wait_finished([job])

        fleet.check_result(ended)
        assert ended.attempts == 2
        fleet.kill("other")
        fleet.check_result(fleet.wait_finished([fleet.submit("2")])[0])


def test_a_second_process_of_the_same_name_takes_the_first_ones_place(small_fleet: MakeFleet) -> None:
    fleet = small_fleet()
    fleet.start("twin")
    first = fleet.workers["twin"]
    job = fleet.submit("1", stage_s="2")
    fleet.busy("separating")
    fleet.start("twin")

    assert first.wait(timeout=120) == 1

    fleet.check_result(fleet.wait_finished([job])[0])
    fleet.check_stages_ran_in_order()
