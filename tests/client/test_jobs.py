"""Jobs by the Python client, sync and async, against the real routes over real HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from services.client import (
    AsyncCopyist,
    BadAnswerError,
    Copyist,
    CopyistError,
    InputError,
    Job,
    JobCancelledError,
    JobState,
    RetryPolicy,
    Service,
    Transcription,
    UnknownOptionError,
    UnreachableError,
    UnreadableMediaError,
    job_exchange,
)
from services.runtime.jobs import job as service_job
from services.runtime.jobs.tables import end_values
from tests.client.conftest import QUICK
from tests.client.scripted import TRANSCRIPTION, Answer, Scripted
from tests.runtime.jobs.serving import Served, serving, settings_for
from tests.waiting import PATIENCE_S, wait_for

MIDI = b"MThd" + bytes(range(256)) * 9000  # 2.3 MB: several blocks


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(settings_for(tmp_path / "service")) as running:
        yield running


class Plain:
    """Calls of the synchronous client."""

    def __init__(self, url: str, **options: Any) -> None:
        self.copyist = Copyist(url, **{"retry": QUICK, **options})

    def submit(self, *args: Any, **options: Any) -> Any:
        return self.copyist.submit(*args, **options)

    def job(self, *args: Any) -> Any:
        return self.copyist.job(*args)

    def list(self, *args: Any) -> list[Job]:
        return list(self.copyist.jobs(*args))

    def call(self, bound: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return bound(*args, **options)

    def close(self) -> None:
        self.copyist.close()


class Awaited(Plain):
    """The same of the asynchronous one, in an event loop of its own."""

    def __init__(self, url: str, **options: Any) -> None:
        self.runner = asyncio.Runner()
        self.copyist = AsyncCopyist(url, **{"retry": QUICK, **options})  # type: ignore[assignment]

    def submit(self, *args: Any, **options: Any) -> Any:
        return self.call(self.copyist.submit, *args, **options)

    def job(self, *args: Any) -> Any:
        return self.call(self.copyist.job, *args)

    def list(self, *args: Any) -> list[Job]:
        async def collected() -> list[Job]:
            return [job async for job in self.copyist.jobs(*args)]  # type: ignore[attr-defined]

        return self.runner.run(collected())

    def call(self, bound: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return self.runner.run(bound(*args, **options))

    def close(self) -> None:
        self.runner.run(self.copyist.close())  # type: ignore[func-returns-value, arg-type]
        self.runner.close()


@pytest.fixture(params=[Plain, Awaited])
def client(request: pytest.FixtureRequest, served: Served) -> Iterator[Plain]:
    chosen = request.param(served.url)
    yield chosen
    chosen.close()


def _beside(act: Callable[[], Any]) -> Future[Any]:
    """Do something in a thread of its own."""
    threads = ThreadPoolExecutor(1)
    future = threads.submit(act)
    threads.shutdown(wait=False)
    return future


def test_a_submission_is_what_was_asked_for(client: Plain, tone: Path) -> None:
    sent = []
    handle = client.submit(tone, formats=["midi", "pdf"], tempo=90, on_progress=sent.append)
    job = handle.job
    assert (job.service, job.title, job.state) == (Service.RECORDINGS, "tone", JobState.QUEUED)
    assert job.options == {"instrument": "piano", "formats": "midi,pdf", "tempo": "90.0", "quantise": "auto"}
    assert sent[-1].sent == sent[-1].size == tone.stat().st_size
    assert client.submit(tone, formats="midi,pdf", tempo=90).id == handle.id
    assert client.submit(tone).id != handle.id
    named = client.submit(tone, idempotency_key="order 7")
    assert client.submit(tone, idempotency_key="order 7").id == named.id
    with pytest.raises(InputError, match="Idempotency-Key") as conflict:
        client.submit(b"other", name="tone.wav", idempotency_key="order 7")
    assert conflict.value.status == 422


def test_waiting_tells_the_course_and_downloads_the_files(
    client: Plain, served: Served, tone: Path, tmp_path: Path
) -> None:
    handle = client.submit(tone, formats="midi")
    running = service_job.JobState.TRANSCRIBING.value
    course: list[Job] = []

    def go_on(told: Job) -> None:
        """The job is a step further as soon as the one before was told."""
        course.append(told)
        if told.state is JobState.QUEUED:
            served.change(handle.id, state=running, progress_percent=40, message="minute 1 of 2")
        elif told.state is JobState.TRANSCRIBING:
            served.finish(handle.id, {"tone.mid": MIDI})

    job = client.call(handle.wait, go_on)
    assert job.state is JobState.COMPLETED
    assert [(step.state, step.progress) for step in course] == [
        (JobState.QUEUED, 0),
        (JobState.TRANSCRIBING, 40),
        (JobState.COMPLETED, 100),
    ]
    assert course[1].message == "minute 1 of 2"
    assert job.expires_at is not None
    (path,) = client.call(handle.download, tmp_path / "scores")
    assert path == tmp_path / "scores/tone.mid"
    assert path.read_bytes() == MIDI
    (path,) = client.call(handle.download, tmp_path / "scores", stem="other")
    assert sorted(each.name for each in path.parent.iterdir()) == ["other.mid", "tone.mid"]
    again = client.job(handle.id, Service.RECORDINGS)
    assert client.call(again.wait).files == job.files


def test_the_result_is_as_the_direct_answer(client: Plain, served: Served, tone: Path) -> None:
    handle = client.submit(tone, formats="midi")
    answer = {**TRANSCRIPTION, "files": [{**TRANSCRIPTION["files"][0], "href": "tone.mid"}]}
    with pytest.raises(InputError, match="has no answer"):
        client.call(handle.result)
    files = {"tone.mid": b"MThd", "tone.json": json.dumps(answer).encode()}
    served.finish(handle.id, files)
    client.call(handle.refresh)
    heard = client.call(handle.result)
    assert isinstance(heard, Transcription)
    assert heard.file("midi").content == b"MThd"
    assert len(heard.notes) == 2
    assert [file.name for file in handle.job.scores] == ["tone.mid"]


def test_failure_and_cancelling_are_raised(client: Plain, served: Served, tone: Path) -> None:
    failing = client.submit(tone)
    problem = {"type": "urn:copyist:problem:unreadable-media", "title": "No", "status": 422}
    told = {**problem, "detail": "It is noise.", "remedy": "Play it.", "instance": "x"}
    served.change(failing.id, **end_values(service_job.JobState.FAILED, served.settings, told))
    with pytest.raises(UnreadableMediaError, match=r"It is noise\. Play it\."):
        client.call(failing.wait)
    assert failing.job.state is JobState.FAILED
    cancelled = client.submit(tone, tempo=60)
    assert client.call(cancelled.cancel).state is JobState.CANCELLED
    assert client.call(cancelled.cancel).state is JobState.CANCELLED
    with pytest.raises(JobCancelledError):
        client.call(cancelled.wait)
    client.call(cancelled.remove)
    with pytest.raises(InputError) as gone:
        client.call(cancelled.refresh)
    assert gone.value.status == 404


def test_lists_go_over_pages(client: Plain, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_exchange, "_PAGE", 2)
    ids = [client.submit(b"%d" % index, name="x.wav").id for index in range(5)]
    client.call(client.job(ids[3], "amt").cancel)
    assert [job.id for job in client.list("amt")] == ids[::-1]
    assert [job.id for job in client.list("amt", ["cancelled", "failed"])] == [ids[3]]


def test_slips_are_told_before_anything_is_sent(client: Plain, tone: Path) -> None:
    for options in ({"colour_by": "staff"}, {"explain": True}, {"service": "omr", "tempo": 90}):
        with pytest.raises(InputError, match="is no option of"):
            client.submit(tone, **options)
    with pytest.raises(InputError, match="neither a recording nor a page"):
        client.submit(b"sound")
    with pytest.raises(InputError, match="no service"):
        client.submit(tone, service="ocr")
    with pytest.raises(UnknownOptionError):
        client.submit(tone, formats="mp3")
    with pytest.raises(InputError, match="takes no webhooks"):
        client.submit(tone, webhook="https://example.org/done")
    assert client.list("amt") == []


def test_a_job_is_waited_for_over_a_restart_of_its_service(tmp_path: Path, tone: Path) -> None:
    settings = settings_for(tmp_path / "service")
    patient = RetryPolicy(attempts=8, base_s=0.2)
    with serving(settings) as first:
        copyist = Copyist(first.url, retry=patient)
        handle = copyist.submit(tone)
        port = int(first.url.rpartition(":")[2])
        course: list[Job] = []
        waiting = _beside(lambda: handle.wait(course.append))
        wait_for(lambda: bool(course))
    assert not waiting.done()
    time.sleep(0.5)
    with serving(settings, port) as second:
        second.finish(handle.id, {"tone.mid": b"MThd"})
        waiting.result(PATIENCE_S)
    copyist.close()
    assert course[-1].state is JobState.COMPLETED


def test_where_events_cannot_be_had_it_is_asked_now_and_then(
    tmp_path: Path, tone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_exchange, "ASK_EVERY_S", 0.1)
    with (
        serving(settings_for(tmp_path / "service", max_event_streams=1)) as served,
        Copyist(served.url, retry=QUICK) as copyist,
    ):
        first, second = copyist.submit(tone), copyist.submit(tone, tempo=60)
        seen = threading.Event()
        holding = _beside(lambda: first.wait(lambda job: seen.set()))
        assert seen.wait(PATIENCE_S)
        course: list[int] = []

        def go_on(told: Job) -> None:
            course.append(told.progress)
            if told.progress == 50:
                served.finish(second.id, {})

        served.change(second.id, progress_percent=50)
        second.wait(go_on)
        assert course == [50, 100]
        served.finish(first.id, {})
        holding.result(PATIENCE_S)


def test_nobody_there_is_told(nobody: str, tone: Path) -> None:
    with Copyist(nobody, retry=QUICK) as copyist, pytest.raises(UnreachableError, match="make up"):
        copyist.submit(tone)


# What follows needs a service that breaks off and lies: a scripted one.

JOB = {
    "id": "4f" * 16,
    "service": "amt",
    "title": "tone",
    "state": "completed",
    "progress": 100,
    "message": "",
    "cancelling": False,
    "attempts": 1,
    "created_at": "2026-11-21T12:00:00.000Z",
    "started_at": "2026-11-21T12:00:01.000Z",
    "finished_at": "2026-11-21T12:00:02.000Z",
    "expires_at": "2026-11-28T12:00:02.000Z",
    "options": {},
    "inputs": [],
    "files": [
        {
            "name": "../../tone.mid",
            "format": "midi",
            "media_type": "audio/midi",
            "size": len(MIDI),
            "sha256": hashlib.sha256(MIDI).hexdigest(),
            "href": "/v1/jobs/x/files/tone.mid",
        }
    ],
    "problem": None,
    "links": {},
}


def _answers(scripted: Scripted, *files: Answer) -> None:
    """Tell of the job, and give its file by these answers, one after another."""
    given = iter(files)

    def answer(asked: Any, count: int) -> Answer:
        if "/files/" not in asked.path:
            return Answer(body=json.dumps(JOB).encode())
        return next(given)

    scripted.answers = answer


@pytest.fixture(params=[Plain, Awaited])
def scripted_client(request: pytest.FixtureRequest, scripted: Scripted) -> Iterator[Plain]:
    chosen = request.param(scripted.url)
    yield chosen
    chosen.close()


def _part(start: int, end: int | None = None, size: int = len(MIDI)) -> Answer:
    body = MIDI[start:end]
    headers = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
    return Answer(206 if start else 200, body, headers, "audio/midi", announced=len(MIDI) - start)


def test_a_download_that_breaks_off_goes_on_where_it_stopped(
    scripted: Scripted, scripted_client: Plain, tmp_path: Path
) -> None:
    _answers(scripted, _part(0, 1_000_000), Answer(503), _part(1_000_000, 1_500_000), _part(1_500_000))
    handle = scripted_client.job(JOB["id"], "amt")
    (path,) = scripted_client.call(handle.download, tmp_path)
    assert path == tmp_path / "tone.mid"  # never where a name from the network points to
    assert path.read_bytes() == MIDI
    asked = [each.headers for each in scripted.asked if "/files/" in each.path]
    assert [each["Range"] for each in asked] == [None, *["bytes=1000000-"] * 2, "bytes=1500000-"]
    assert asked[1]["If-Range"] == f'"{JOB["files"][0]["sha256"]}"'
    assert [each.name for each in tmp_path.iterdir()] == ["tone.mid"]


def test_a_download_goes_on_after_the_program_was_ended(
    scripted: Scripted, scripted_client: Plain, tmp_path: Path
) -> None:
    _answers(scripted, _part(0, 1_000_000), *[Answer(404)] * 1, _part(1_000_000))
    handle = scripted_client.job(JOB["id"], "amt")
    with pytest.raises(CopyistError):
        scripted_client.call(handle.download, tmp_path)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".copyist-")
    (path,) = scripted_client.call(handle.download, tmp_path)
    assert path.read_bytes() == MIDI
    assert [each.name for each in tmp_path.iterdir()] == ["tone.mid"]


def test_a_file_that_has_changed_is_begun_anew(
    scripted: Scripted, scripted_client: Plain, tmp_path: Path
) -> None:
    _answers(scripted, _part(0, 1_000_000), _part(0))
    (path,) = scripted_client.call(scripted_client.job(JOB["id"], "amt").download, tmp_path)
    assert path.read_bytes() == MIDI


def test_damaged_content_is_asked_for_once_more_and_then_refused(
    scripted: Scripted, scripted_client: Plain, tmp_path: Path
) -> None:
    damaged = Answer(200, bytes(len(MIDI)), {}, "audio/midi")
    _answers(scripted, damaged, _part(0), damaged, damaged)
    handle = scripted_client.job(JOB["id"], "amt")
    (path,) = scripted_client.call(handle.download, tmp_path)
    assert path.read_bytes() == MIDI
    with pytest.raises(BadAnswerError, match="another content"):
        scripted_client.call(handle.download, tmp_path, stem="again")
    assert [each.name for each in tmp_path.iterdir()] == ["tone.mid"]


def test_an_answer_that_is_no_job_is_told(scripted: Scripted, scripted_client: Plain) -> None:
    for body in (b"[]", b"{}", json.dumps({**JOB, "state": "dreaming"}).encode(), b"\xff"):
        scripted.answers = lambda asked, count, body=body: Answer(body=body)
        with pytest.raises(BadAnswerError):
            scripted_client.job(JOB["id"], "amt")


def test_the_api_key_is_shown_and_never_printed(
    scripted: Scripted, tone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.answers = lambda asked, count: Answer(202, json.dumps(JOB).encode())
    monkeypatch.setenv("COPYIST_API_KEY", "cpk_environment")
    for given, shown in ((None, "cpk_environment"), ("cpk_given", "cpk_given")):
        with Copyist(scripted.url, api_key=given, retry=QUICK) as copyist:
            copyist.submit(tone)
        assert scripted.asked[-1].headers["Authorization"] == f"Bearer {shown}"
    with pytest.raises(InputError) as error:
        Copyist(scripted.url, api_key="schlüssel\n geheim")
    assert "geheim" not in str(error.value)
    monkeypatch.delenv("COPYIST_API_KEY")
    with Copyist(scripted.url, retry=QUICK) as copyist:
        copyist.submit(tone)
    assert scripted.asked[-1].headers["Authorization"] is None


def test_the_clients_states_are_the_services() -> None:
    assert [*JobState] == [*service_job.JobState]
