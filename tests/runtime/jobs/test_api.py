"""Jobs over HTTP: submitting, telling, listing, cancelling, removing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.errors import DatabaseUnavailableError
from services.runtime.jobs.job import JobState, Submission
from services.runtime.jobs.store import JobStore
from services.runtime.jobs.tables import end_values
from tests.exposition import samples
from tests.runtime.jobs.serving import Served, serving, settings_for
from tests.waiting import wait_for


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Served]:
    with serving(settings_for(tmp_path, max_upload_bytes=100_000, max_jobs_per_owner=30)) as served:
        yield served


@pytest.fixture
def http(service: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=120) as client:
        yield client


def _post(http: httpx.Client, *, content: bytes = b"sound", name: str = "waltz.wav", **more: Any) -> Any:
    return http.post("/v1/jobs", files={"file": (name, content)}, **more)


def _slug(answer: httpx.Response) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["detail"]
    assert problem["remedy"]
    assert problem["status"] == answer.status_code
    return str(problem["type"].removeprefix("urn:copyist:problem:"))


def test_a_submitted_job_is_told_in_full(http: httpx.Client, service: Served) -> None:
    answer = _post(http, name="Two Waltzes.flac", data={"formats": "midi,pdf", "tempo": "90"})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    assert http.get(answer.headers["Location"]).json() == job
    assert job["service"] == "amt"
    assert job["title"] == "Two Waltzes"
    assert (job["state"], job["progress"], job["attempts"]) == ("queued", 0, 0)
    assert job["options"] == {
        "instrument": "piano",
        "formats": "midi,pdf",
        "tempo": "90.0",
        "quantise": "auto",
    }
    assert [set(given) for given in job["inputs"]] == [{"size", "sha256"}]
    assert job["inputs"][0]["size"] == 5
    assert len(job["inputs"][0]["sha256"]) == 64
    assert job["created_at"].endswith("Z")
    assert job["started_at"] is job["finished_at"] is job["expires_at"] is job["problem"] is None
    assert service.stored() == [f"jobs/{job['id']}/input/0"]


def test_the_same_submission_gives_the_same_job(http: httpx.Client, service: Served) -> None:
    first = _post(http, data={"formats": "midi"})
    again = _post(http, data={"formats": " MIDI,midi", "instrument": "piano"})
    assert again.status_code == 200
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["Location"] == first.headers["Location"]
    others = [
        _post(http, data={"formats": "pdf"}),
        _post(http, data={"formats": "midi"}, content=b"noise"),
        _post(http, data={"formats": "midi"}, name="other.wav"),
    ]
    assert [other.status_code for other in others] == [202, 202, 202]
    assert len(service.stored()) == 4


def test_a_failed_or_cancelled_job_gives_way_to_a_new_one(http: httpx.Client, service: Served) -> None:
    first = service.submit(http)
    assert http.delete(f"/v1/jobs/{first}").status_code == 200
    second = service.submit(http)
    problem = {"type": "urn:copyist:problem:unreadable-media", "title": "No", "status": 422}
    told = {"detail": "It is noise.", "remedy": "Play it.", "instance": "x"}
    service.change(second, **end_values(JobState.FAILED, service.settings, {**problem, **told}))
    assert http.get(f"/v1/jobs/{second}").json()["problem"] == {**problem, **told}
    third = service.submit(http)
    assert len({first, second, third}) == 3
    service.finish(third, {"waltz.mid": b"MThd"})
    assert _post(http).json()["id"] == third


def test_a_key_names_one_submission(http: httpx.Client, service: Served) -> None:
    key = {"Idempotency-Key": "order 7"}
    first = _post(http, headers=key)
    assert first.status_code == 202
    again = _post(http, headers=key)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    other_key = _post(http, headers={"Idempotency-Key": "order 8"})
    assert other_key.status_code == 202
    for change in ({"content": b"noise"}, {"name": "x.wav"}, {"data": {"tempo": "60"}}):
        conflict = _post(http, headers=key, **change)
        assert (conflict.status_code, _slug(conflict)) == (422, "idempotency-conflict")
        assert first.json()["id"] in conflict.json()["detail"]
    assert len(service.stored()) == 2


@pytest.mark.parametrize("key", ["", "x" * 201, "caf\xe9", "tab\there"])
def test_an_odd_key_is_refused(http: httpx.Client, service: Served, key: str) -> None:
    answer = _post(http, headers={"Idempotency-Key": key.encode("latin-1")})
    assert (answer.status_code, _slug(answer)) == (400, "bad-request")
    assert service.stored() == []


def test_submitted_at_the_same_moment_it_is_one_job_all_the_same(http: httpx.Client, service: Served) -> None:
    start = threading.Barrier(8)

    def submit(index: int) -> httpx.Response:
        start.wait()
        return _post(http)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(submit, range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(service.stored()) == 1


@pytest.mark.parametrize(
    ("form", "status", "slug"),
    [
        ({"data": {"formats": "mp3"}}, 422, "unknown-option"),
        ({"data": {"colour": "red"}}, 422, "unknown-option"),
        ({"data": {"webhook": "https://example.org/done"}}, 422, "webhook-refused"),
        ({"content": b""}, 422, "unreadable-media"),
        ({"content": bytes(100_001)}, 413, "too-large"),
    ],
)
def test_a_refused_submission_leaves_nothing(
    http: httpx.Client, service: Served, form: dict[str, Any], status: int, slug: str
) -> None:
    answer = _post(http, **form)
    assert (answer.status_code, _slug(answer)) == (status, slug)
    assert service.stored() == []
    assert http.get("/v1/jobs").json() == {"jobs": [], "next": None}


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("https://93.184.216.34/done?key=1", 202),
        ("http://127.0.0.1/done", 422),
        ("http://169.254.169.254/latest/meta-data", 422),
        ("http://[::1]:8080/", 422),
        ("ftp://93.184.216.34/", 422),
        ("https://93.184.216.34/" + "x" * 2000, 422),
        ("nonsense", 422),
    ],
)
def test_a_webhook_must_be_public(tmp_path: Path, url: str, status: int) -> None:
    with (
        serving(settings_for(tmp_path, webhook_secret="secret")) as served,
        httpx.Client(base_url=served.url, timeout=120) as http,
    ):
        answer = _post(http, data={"webhook": url})
        assert answer.status_code == status
        if status == 422:
            assert _slug(answer) == "webhook-refused"
            assert served.stored() == []
        else:
            # Who is to be told elsewhere asks for another job; who is told nowhere, for one as well.
            assert _post(http, data={"webhook": url}).json()["id"] == answer.json()["id"]
            assert _post(http, data={"webhook": url + "2"}).status_code == 202
            assert _post(http).status_code == 202


def test_no_form_no_file_and_two_files_are_refused(http: httpx.Client, service: Served) -> None:
    assert _slug(http.post("/v1/jobs", json={"file": "http://example.org"})) == "bad-request"
    assert _slug(http.post("/v1/jobs", data={"file": "http://example.org"}, files={})) == "bad-request"
    two = [("file", ("a.wav", b"1")), ("file", ("b.wav", b"2"))]
    assert _slug(http.post("/v1/jobs", files=two)) == "bad-request"
    assert service.stored() == []


def test_more_jobs_than_an_owner_may_have_are_refused_and_leave_no_files(
    http: httpx.Client, service: Served
) -> None:
    for index in range(30):
        service.submit(http, content=b"%d" % index)
    refused = _post(http, content=b"more")
    assert (refused.status_code, _slug(refused)) == (429, "overloaded")
    assert int(refused.headers["Retry-After"]) > 0
    assert len(service.stored()) == 30


def test_more_submissions_at_once_than_are_taken_in_are_told_to_come_back(
    http: httpx.Client, service: Served
) -> None:
    with ExitStack() as held:
        for _ in range(64):
            held.enter_context(service.desk.intake())
        refused = _post(http)
        assert (refused.status_code, _slug(refused)) == (429, "overloaded")
        assert refused.headers["Retry-After"] == "1"
    assert _post(http).status_code == 202


def test_listing_goes_on_page_by_page(http: httpx.Client, service: Served) -> None:
    ids = [service.submit(http, content=b"%d" % index) for index in range(7)]
    listed: list[str] = []
    url = "/v1/jobs?limit=3&state=queued,failed"
    for expected in (3, 3, 1):
        answer = http.get(url)
        page = answer.json()
        assert len(page["jobs"]) == expected
        listed += [job["id"] for job in page["jobs"]]
        if page["next"] is None:
            assert "Link" not in answer.headers
        else:
            url = answer.links["next"]["url"]
            assert page["next"] in httpx.URL(url).params["after"]
    assert listed == ids[::-1]
    http.delete(f"/v1/jobs/{ids[2]}")
    cancelled = http.get("/v1/jobs", params={"state": "cancelled"}).json()["jobs"]
    assert [job["id"] for job in cancelled] == [ids[2]]


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "limit=-1", "limit=x", "limit=1.5", "limit=٣", "state=lost"),
        *("after=nonsense", "after=%ff", "after=%00", "offset=3", "after=ZZZZ"),
    ],
)
def test_what_a_listing_does_not_know_is_told(http: httpx.Client, query: str) -> None:
    answer = http.get(f"/v1/jobs?{query}")
    assert (answer.status_code, _slug(answer)) == (422, "unknown-option")


@pytest.mark.parametrize("job_id", ["0" * 32, "x", "0" * 33, "..%2f..", "%00", "A" * 32, "'; --"])
@pytest.mark.parametrize("path", ["", "/events", "/files/a.mid"])
def test_there_is_no_such_job(http: httpx.Client, job_id: str, path: str) -> None:
    answer = http.get(f"/v1/jobs/{job_id}{path}")
    assert answer.status_code == 404
    assert _slug(answer) in ("job-not-found", "not-found")
    assert http.delete(f"/v1/jobs/{job_id}").status_code == 404


def test_a_job_of_another_owner_or_service_is_not_there(http: httpx.Client, service: Served) -> None:
    anothers = service.submit(http)
    service.change(anothers, owner="another")
    elsewhere = service.submit(http, content=b"page")
    service.change(elsewhere, service="omr")
    for job_id in (anothers, elsewhere):
        assert _slug(http.get(f"/v1/jobs/{job_id}")) == "job-not-found"
        assert _slug(http.delete(f"/v1/jobs/{job_id}")) == "job-not-found"
    assert http.get("/v1/jobs").json()["jobs"] == []


def test_delete_cancels_at_once_or_soon_and_then_removes(http: httpx.Client, service: Served) -> None:
    waiting = service.submit(http)
    cancelled = http.delete(f"/v1/jobs/{waiting}")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    running = service.submit(http, content=b"long")
    service.change(running, state=JobState.TRANSCRIBING.value, attempts=1)
    for _ in range(2):
        marked = http.delete(f"/v1/jobs/{running}")
        assert (marked.status_code, marked.json()["cancelling"]) == (202, True)
    service.finish(running, {"long.mid": b"MThd"})
    for job_id in (waiting, running):
        removed = http.delete(f"/v1/jobs/{job_id}")
        assert (removed.status_code, removed.content) == (204, b"")
        assert http.get(f"/v1/jobs/{job_id}").status_code == 404
    assert service.stored() == []


def test_a_wrong_method_is_told_the_right_ones(http: httpx.Client) -> None:
    answer = http.put("/v1/jobs")
    assert (answer.status_code, _slug(answer)) == (405, "method-not-allowed")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_without_a_database_all_else_is_served(tmp_path: Path) -> None:
    away = settings_for(tmp_path, database_url="postgresql://127.0.0.1:1/copyist")
    with serving(away) as served, httpx.Client(base_url=served.url, timeout=120) as http:
        for answer in (_post(http), http.get("/v1/jobs"), http.get(f"/v1/jobs/{'0' * 32}")):
            assert (answer.status_code, _slug(answer)) == (503, "database-unavailable")
            assert int(answer.headers["Retry-After"]) > 0
        assert http.get("/livez").status_code == 200
        assert http.post("/v1/transcribe", files={"other": b"x"}).status_code != 503
        assert served.stored() == []


def test_a_full_storage_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("no folder")
    with (
        serving(settings_for(tmp_path, files_url=str(tmp_path / "occupied"))) as served,
        httpx.Client(base_url=served.url, timeout=120) as http,
    ):
        answer = _post(http)
        assert (answer.status_code, _slug(answer)) == (503, "storage-unavailable")
        assert http.get("/v1/jobs").json()["jobs"] == []


def test_a_commit_whose_answer_was_lost_keeps_its_files(
    http: httpx.Client, service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = JobStore.submit

    def committed_and_lost(store: JobStore, submission: Submission) -> Any:
        submit(store, submission)
        raise DatabaseUnavailableError("The connection broke.", remedy="Try again.")

    monkeypatch.setattr(JobStore, "submit", committed_and_lost)
    lost = _post(http)
    assert (lost.status_code, _slug(lost)) == (503, "database-unavailable")
    monkeypatch.setattr(JobStore, "submit", submit)
    again = _post(http)
    assert again.status_code == 200
    assert service.stored() == [f"jobs/{again.json()['id']}/input/0"]


def test_a_submission_that_took_too_long_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = JobStore.submit

    def slow(store: JobStore, submission: Submission) -> Any:
        time.sleep(1.5)
        return submit(store, submission)

    monkeypatch.setattr(JobStore, "submit", slow)
    with (
        serving(settings_for(tmp_path, request_timeout_s=1)) as served,
        httpx.Client(base_url=served.url, timeout=120) as http,
    ):
        wait_for(lambda: http.get("/v1/jobs").is_success)  # the database is ready, and all else in time
        late = _post(http)
        assert (late.status_code, _slug(late)) == (504, "timed-out")
        jobs: list[str] = []
        wait_for(lambda: bool(jobs.extend(served.jobs()) or jobs))
        (job,) = jobs
        assert served.stored() == [f"jobs/{job}/input/0"]


def test_prometheus_is_told_how_much_there_is_to_do(http: httpx.Client, service: Served) -> None:
    began = time.monotonic()
    for index in range(3):
        service.submit(http, content=b"%d" % index)
    service.finish(service.submit(http, content=b"done"), {})

    def told() -> dict[str, float]:
        return {
            sample.labels.get("state", sample.name): sample.value
            for sample in samples(http.get("/metrics").text)
            if sample.name.startswith("copyist_jobs") and sample.labels["service"] == "amt"
        }

    def counted() -> bool:
        """Whether all is told; what is told last may still be that of a test before."""
        now = told()
        states = [now.get(state) for state in ("queued", "transcribing", "completed")]
        return (
            states == [3, 0, 1] and 0 < now["copyist_jobs_oldest_queued_seconds"] < time.monotonic() - began
        )

    wait_for(counted)
