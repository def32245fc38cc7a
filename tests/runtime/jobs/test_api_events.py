"""A job's course as server-sent events, to one watcher or many."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.runtime.jobs import events
from services.runtime.jobs.job import JobState
from services.runtime.jobs.store import JobStore
from services.runtime.jobs.tables import end_values
from tests.runtime.jobs.serving import Served, serving, settings_for

LIMIT = 20


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    with serving(settings_for(tmp_path, max_event_streams=LIMIT)) as served:
        yield served


@pytest.fixture
def http(service: Served) -> Iterator[httpx.Client]:
    limits = httpx.Limits(max_connections=100)
    with httpx.Client(base_url=service.url, timeout=60, limits=limits) as client:
        yield client


class Following:
    """A watcher that reads event by event."""

    def __init__(self, answer: httpx.Response) -> None:
        self.lines = answer.iter_lines()

    def block(self) -> dict[str, str]:
        """The next block's fields; a comment's name is empty."""
        fields: dict[str, str] = {}
        for line in self.lines:
            if not line and fields:
                return fields
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        raise EOFError

    def event(self) -> tuple[str, int, dict[str, Any]]:
        """The next event: its kind, its id, and its data."""
        while "data" not in (fields := self.block()):
            pass
        return fields["event"], int(fields["id"]), json.loads(fields["data"])


def _stream(http: httpx.Client, job: str, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return http.stream("GET", f"/v1/jobs/{job}/events", headers=named)


def test_a_job_is_followed_to_its_end(http: httpx.Client, service: Served) -> None:
    job = service.submit(http)
    with _stream(http, job) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        following = Following(answer)
        kind, first, data = following.event()
        assert (kind, data["state"]) == ("progress", "queued")
        assert data == http.get(f"/v1/jobs/{job}").json()
        service.change(job, state=JobState.TRANSCRIBING.value, progress_percent=40, message="minute 2 of 5")
        kind, second, data = following.event()
        assert (kind, data["progress"], data["message"]) == ("progress", 40, "minute 2 of 5")
        service.finish(job, {"waltz.mid": b"MThd"})
        kind, third, data = following.event()
        assert (kind, data["progress"]) == ("completed", 100)
        assert data["files"][0]["name"] == "waltz.mid"
        assert first < second < third
        with pytest.raises(EOFError):
            following.event()


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_other_ends_are_told_by_their_names(http: httpx.Client, service: Served, state: JobState) -> None:
    job = service.submit(http)
    service.change(job, **end_values(state, service.settings))
    with _stream(http, job) as answer:
        following = Following(answer)
        assert following.event()[0] == state.value
        with pytest.raises(EOFError):
            following.block()


def test_who_comes_back_is_told_what_is_new_only(http: httpx.Client, service: Served) -> None:
    job = service.submit(http)
    with _stream(http, job) as answer:
        _, seen, _ = Following(answer).event()
    with _stream(http, job, Last_Event_ID=str(seen)) as answer:
        following = Following(answer)
        service.change(job, progress_percent=10)
        kind, second, data = following.event()
        assert (kind, data["progress"]) == ("progress", 10)
        assert second > seen
    service.finish(job, {})
    with _stream(http, job, Last_Event_ID=str(second)) as answer:
        kind, last, _ = Following(answer).event()
        assert kind == "completed"
    again = http.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": str(last)})
    assert (again.status_code, again.content) == (204, b"")
    for odd in ("x", "-1", "9" * 30, "999", "1.0"):
        with _stream(http, job, Last_Event_ID=odd) as answer:
            assert Following(answer).event()[0] == "completed"


def test_many_watchers_are_one_reader_of_the_database(
    http: httpx.Client, service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    many = JobStore.many

    def counted(store: JobStore, ids: Any) -> Any:
        asked.append(len(set(ids)))
        return many(store, ids)

    monkeypatch.setattr(JobStore, "many", counted)
    jobs = [service.submit(http, content=b"%d" % index) for index in range(2)]
    with ExitStack() as open_:
        all_ = [Following(open_.enter_context(_stream(http, jobs[n % 2]))) for n in range(LIMIT)]
        for following in all_:
            assert following.event()[0] == "progress"
        started = time.monotonic()
        asked.clear()
        for job in jobs:
            service.change(job, progress_percent=50)
        assert [following.event()[2]["progress"] for following in all_] == [50] * LIMIT
        looks = list(asked)
        took_s = time.monotonic() - started
        assert max(looks) == 2
        assert len(looks) <= 2 + took_s / 0.4
        one_more = http.get(f"/v1/jobs/{jobs[0]}/events")
        assert one_more.status_code == 429
        assert "COPYIST_MAX_EVENT_STREAMS" in one_more.json()["detail"]
        assert "Retry-After" in one_more.headers
    _until(lambda: not service.desk.followers.followed())
    with _stream(http, jobs[0]) as answer:
        assert answer.status_code == 200


def test_a_silent_stream_is_kept_alive(
    http: httpx.Client, service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.2)
    with _stream(http, service.submit(http)) as answer:
        following = Following(answer)
        following.event()
        assert [following.block(), following.block()] == [{"": "still here"}] * 2


def test_the_stream_of_a_job_that_is_removed_ends(http: httpx.Client, service: Served) -> None:
    job = service.submit(http)
    with _stream(http, job) as answer:
        following = Following(answer)
        following.event()
        http.delete(f"/v1/jobs/{job}")
        http.delete(f"/v1/jobs/{job}")
        with pytest.raises(EOFError):
            while following.event()[0] != "progress":
                pass


def test_streams_end_when_the_service_is_about_to_stop(tmp_path: Path) -> None:
    with ExitStack() as open_:
        served = open_.enter_context(serving(settings_for(tmp_path)))
        http = open_.enter_context(httpx.Client(base_url=served.url, timeout=60))
        answer = open_.enter_context(_stream(http, served.submit(http)))
        following = Following(answer)
        following.event()
        served.loop.call_soon_threadsafe(served.desk.end_streams)
        with pytest.raises(EOFError):
            following.event()


def test_a_database_that_goes_away_ends_no_stream(
    http: httpx.Client, service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = service.submit(http)
    away = threading.Event()
    many = JobStore.many

    def failing(store: JobStore, ids: Any) -> Any:
        if away.is_set():
            raise ConnectionError("the network is gone")
        return many(store, ids)

    monkeypatch.setattr(JobStore, "many", failing)
    with _stream(http, job) as answer:
        following = Following(answer)
        following.event()
        away.set()
        service.change(job, progress_percent=30)
        time.sleep(1.2)
        away.clear()
        assert following.event()[2]["progress"] == 30


def test_head_tells_of_the_stream_and_ends(http: httpx.Client, service: Served) -> None:
    answer = http.head(f"/v1/jobs/{service.submit(http)}/events")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream")


def _until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
