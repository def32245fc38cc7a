"""The record of jobs, on both kinds of database."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from services.errors import DatabaseUnavailableError, OverloadedError, UnknownOptionError
from services.runtime.database import Database, DatabaseUrlError, connect
from services.runtime.jobs.attempts import Attempts, LostAttemptError, Progress
from services.runtime.jobs.job import Job, JobFile, JobInput, JobState, Submission
from services.runtime.jobs.queue import JobQueue
from services.runtime.jobs.store import JobNotFoundError, JobStore
from services.runtime.jobs.tables import JOBS
from services.runtime.migrations import SchemaError, migrate, prepare
from services.runtime.settings import Settings
from tests.databases import PostgresServer, free_port
from tests.waiting import wait_for


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/deep/er/jobs.sqlite"
    else:
        url = request.getfixturevalue("postgres_server").new_database()
    database = connect(url)
    migrate(database)
    yield database
    database.close()


@pytest.fixture
def store(database: Database) -> Iterator[JobStore]:
    store = JobStore(database, Settings())
    yield store
    store.close()


def attempts(database: Database, worker: str = "w", **settings: Any) -> Attempts:
    return Attempts(database, JobQueue(database), replace(Settings(), **settings), worker)


def submission(key: str, **changed: Any) -> Submission:
    made = Submission(
        id=uuid.uuid4().hex,
        service="amt",
        owner="anna",
        key=key,
        title="piece",
        options={"formats": "midi"},
        inputs=(JobInput(3, "abc"),),
    )
    return replace(made, **changed)


def test_a_submission_comes_back_as_it_was(store: JobStore) -> None:
    given = submission("1", webhook_url="https://example.org/", request_id="r", trace="t", title="Für Elise")

    job, created = store.submit(given)

    assert created
    assert job.submission == given
    assert (job.state, job.attempts, job.progress_percent, job.version) == (JobState.QUEUED, 0, 0, 1)
    assert job.created_at.utcoffset() is not None
    assert store.find("amt", "anna", given.id) == job
    assert store.find_by_key("amt", "anna", "1") == job
    assert store.many([given.id, "absent"]) == {given.id: job}


def test_submissions_of_a_key_at_the_same_moment_give_one_job(database: Database) -> None:
    stores = [JobStore(database, Settings()) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        given = list(threads.map(lambda store: store.submit(submission("same")), stores))

    assert len({job.id for job, _ in given}) == 1
    assert sum(created for _, created in given) == 1
    assert stores[0].counts("amt").by_state == {JobState.QUEUED: 1}
    with database.read() as connection:
        table = "workflow_status" if database.is_sqlite else "dbos.workflow_status"
        assert connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar() == 1


def test_limits_hold_for_submissions_at_the_same_moment(database: Database) -> None:
    settings = replace(Settings(), max_jobs=9, max_jobs_per_owner=6)
    stores = [JobStore(database, settings) for _ in range(8)]

    def submit(number: int) -> bool:
        owner = "anna" if number % 2 else "berta"
        try:
            stores[number % 8].submit(submission(f"{number}", owner=owner))
        except OverloadedError as error:
            assert error.retry_after_s > 0
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(submit, range(32))) == 9
    assert len(stores[0].list("amt", "anna").jobs) <= 6


def test_a_job_that_came_to_nothing_gives_way_to_a_new_one(store: JobStore, database: Database) -> None:
    first, _ = store.submit(submission("1"))
    begun = attempts(database).begin(first.id)
    assert begun is not None
    attempts(database).end(begun, JobState.FAILED, {"title": "a problem"})

    second, created = store.submit(submission("1"))
    assert created
    assert second.id != first.id
    store.cancel("amt", "anna", second.id)
    third, created = store.submit(submission("1"))
    assert created
    done = attempts(database).begin(third.id)
    assert done is not None
    attempts(database).end(done, JobState.COMPLETED, None)

    assert store.submit(submission("1"))[0].id == third.id
    assert store.find("amt", "anna", first.id).problem == {"title": "a problem"}
    assert len(store.list("amt", "anna").jobs) == 3


def test_owners_and_services_are_kept_apart(store: JobStore) -> None:
    job, _ = store.submit(submission("1"))

    assert store.submit(submission("1", owner="berta"))[1]
    assert store.submit(submission("1", service="omr"))[1]
    for service, owner in (("amt", "berta"), ("omr", "anna")):
        with pytest.raises(JobNotFoundError):
            store.find(service, owner, job.id)
        with pytest.raises(JobNotFoundError):
            store.cancel(service, owner, job.id)
        with pytest.raises(JobNotFoundError):
            store.forget(service, owner, job.id)
        assert len(store.list(service, owner).jobs) == 1


def test_a_listing_comes_in_parts_that_neither_miss_nor_repeat(store: JobStore) -> None:
    ids = [store.submit(submission(f"{number}"))[0].id for number in range(7)]
    seen: list[str] = []
    after = None
    while True:
        page = store.list("amt", "anna", limit=3, after=after)
        seen += [job.id for job in page.jobs]
        store.submit(submission(f"newer than {len(seen)}"))
        if (after := page.next) is None:
            break

    assert seen == ids[::-1]
    store.cancel("amt", "anna", ids[0])
    assert [job.id for job in store.list("amt", "anna", [JobState.CANCELLED]).jobs] == [ids[0]]
    for nonsense in ("x", "====", "2026", "eA==", "\x00"):
        with pytest.raises(UnknownOptionError):
            store.list("amt", "anna", after=nonsense)


def test_only_the_latest_attempt_writes(store: JobStore, database: Database) -> None:
    job, _ = store.submit(submission("1"))
    former = attempts(database, "former").begin(job.id)
    latest = attempts(database, "latest").begin(job.id)
    assert former is not None
    assert latest is not None
    file = JobFile("a.mid", "midi", "audio/midi", 1, "0" * 64)
    late = attempts(database, "former")
    writes = (
        lambda: late.stage_begins(former, JobState.ENGRAVING, 90),
        lambda: late.stage_ended(former),
        lambda: late.publish(former, [file]),
        lambda: late.hand_back(former),
        lambda: late.end(former, JobState.FAILED, {}),
    )
    before = store.many([job.id])[job.id]

    for write in writes:
        with pytest.raises(LostAttemptError):
            write()
    late.tell([Progress(job.id, former.attempts, 99, "late")])

    assert store.many([job.id])[job.id] == before
    attempts(database, "latest").publish(latest, [file])
    attempts(database, "latest").publish(latest, [replace(file, size=2), replace(file, name="b.mid")])
    attempts(database, "latest").end(latest, JobState.COMPLETED, None)
    assert [(f.name, f.size) for f in store.many([job.id])[job.id].files] == [("a.mid", 2), ("b.mid", 1)]
    with pytest.raises(LostAttemptError):
        attempts(database, "latest").end(latest, JobState.FAILED, {})


def test_a_job_counts_as_crashing_only_without_a_stage_in_between(
    store: JobStore, database: Database
) -> None:
    limits = {"max_job_attempts": 2}
    job, _ = store.submit(submission("1"))

    def begin() -> Job | None:
        return attempts(database, **limits).begin(job.id)

    assert begin()
    assert attempts(database).is_suspect(job.id)
    again = begin()
    assert again
    attempts(database).stage_ended(again)
    handed_back = begin()
    assert handed_back
    attempts(database).hand_back(handed_back)
    assert begin()
    assert begin() is None

    ended = store.many([job.id])[job.id]
    assert ended.state is JobState.FAILED
    assert ended.problem is not None
    assert ended.problem["type"] == "urn:copyist:problem:job-crashes"
    assert "2 times" in ended.problem["detail"]


def test_progress_never_falls(store: JobStore, database: Database) -> None:
    job, _ = store.submit(submission("1"))
    begun = attempts(database).begin(job.id)
    assert begun
    told = []
    for percent in (10, 40, 30, 60):
        attempts(database).tell([Progress(job.id, begun.attempts, percent, f"{percent}")])
        told.append(store.many([job.id])[job.id].progress_percent)
    attempts(database).stage_begins(begun, JobState.ENGRAVING, 50)

    assert told == [10, 40, 40, 60]
    assert store.many([job.id])[job.id].progress_percent == 60


def test_finished_jobs_are_forgotten_unfinished_ones_are_not(store: JobStore) -> None:
    job, _ = store.submit(submission("1"))
    with pytest.raises(JobNotFoundError):
        store.forget("amt", "anna", job.id)
    cancelled = store.cancel("amt", "anna", job.id)
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.expires_at is not None
    assert store.cancel("amt", "anna", job.id) == cancelled

    store.forget("amt", "anna", job.id)

    with pytest.raises(JobNotFoundError):
        store.find("amt", "anna", job.id)


def test_a_running_job_is_marked_to_be_cancelled(store: JobStore, database: Database) -> None:
    job, _ = store.submit(submission("1"))
    begun = attempts(database).begin(job.id)
    assert begun
    attempts(database).stage_begins(begun, JobState.TRANSCRIBING, 0)

    marked = store.cancel("amt", "anna", job.id)

    assert (marked.state, marked.cancelling) == (JobState.TRANSCRIBING, True)
    assert attempts(database).watched([job.id])[job.id].cancelling
    # Its worker was lost before it saw the mark: the next one ends the job rather than begin it.
    assert attempts(database, "next").begin(job.id) is None
    assert store.many([job.id])[job.id].state is JobState.CANCELLED


def test_counts_tell_how_long_the_oldest_waits(store: JobStore, database: Database) -> None:
    first, _ = store.submit(submission("1"))
    store.submit(submission("2"))
    with database.begin() as connection:
        year_ago = first.created_at - timedelta(days=365)
        connection.execute(sa.update(JOBS).where(JOBS.c.id == first.id).values(created_at=year_ago))

    counts = store.counts("amt")

    assert counts.by_state == {JobState.QUEUED: 2}
    assert counts.oldest_queued_s > 364 * 86400
    assert store.counts("omr").oldest_queued_s == 0


def test_counts_tell_of_webhooks_whose_time_has_come(store: JobStore, database: Database) -> None:
    queue = JobQueue(database)
    job, _ = store.submit(submission("1", webhook_url="https://example.com/"))
    with database.begin() as connection:
        queue.add_webhook(connection, job.id, 2, delay_s=3600)
    assert store.counts("amt").webhooks_due == 0
    with database.begin() as connection:
        queue.add_webhook(connection, job.id, 3, delay_s=0.01)
        queue.add_webhook(connection, job.id, 4)
    time.sleep(0.02)
    assert store.counts("amt").webhooks_due == 2
    assert store.counts("omr").webhooks_due == 0


def test_migrations_may_run_at_once_and_again(database: Database, postgres_server: PostgresServer) -> None:
    fresh = connect(f"{database.url}.fresh" if database.is_sqlite else postgres_server.new_database())
    if not fresh.is_sqlite:
        with pytest.raises(SchemaError, match="copyist migrate"):
            prepare(fresh)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: migrate(fresh), range(4)))
    prepare(fresh)
    fresh.close()


def test_a_former_primary_is_left_for_the_next(postgres_server: PostgresServer) -> None:
    database = connect(postgres_server.new_database())
    migrate(database)
    store = JobStore(database, Settings())
    before, _ = store.submit(submission("1"))
    with _only_reading(postgres_server):
        for _ in range(2):  # on a connection that there was, and on a new one
            with pytest.raises(DatabaseUnavailableError):
                store.submit(submission("2"))
    after, created = store.submit(submission("2"))
    assert created and store.many([before.id, after.id]).keys() == {before.id, after.id}
    store.close()
    database.close()


@contextmanager
def _only_reading(server: PostgresServer) -> Iterator[None]:
    """Let a server take no changes, as one that another has taken the place of; its connections stay."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        admin.execute("SELECT pg_reload_conf()")
        try:
            wait_for(lambda: _reads_only(server))
            yield
        finally:
            admin.execute("SET default_transaction_read_only = off")
            admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
            admin.execute("SELECT pg_reload_conf()")
            wait_for(lambda: not _reads_only(server))


def _reads_only(server: PostgresServer) -> bool:
    with psycopg.connect(server.url("postgres")) as connection:
        return connection.execute("SHOW transaction_read_only").fetchone() == ("on",)


def test_a_database_that_is_away_is_told_as_such() -> None:
    away = connect(f"postgresql://copyist@127.0.0.1:{free_port()}/copyist")
    with pytest.raises(DatabaseUnavailableError):
        prepare(away)
    store = JobStore(away, Settings())
    with pytest.raises(DatabaseUnavailableError):
        store.submit(submission("1"))
    store.close()
    away.close()


@pytest.mark.parametrize("url", ["", "mysql://root@localhost/x", "sqlite://", "nonsense", "postgresql"])
def test_other_addresses_are_not_understood(url: str) -> None:
    with pytest.raises(DatabaseUrlError, match="COPYIST_DATABASE_URL"):
        connect(url)
