"""Files of jobs over HTTP: whole, in parts, by validators, under any name, and never as a program."""

from __future__ import annotations

import gc
import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from services.runtime.files import file_path
from tests.runtime.jobs.serving import Served, serving, settings_for
from tests.waiting import wait_for

CONTENT = random.Random(1).randbytes(3_000_000)
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
NAMES = {
    "waltz.mid": 'attachment; filename="waltz.mid"',
    'a "b" \\ c%41.mid': 'attachment; filename="a _b_ _ c_41.mid"; '
    "filename*=UTF-8''a%20%22b%22%20%5C%20c%2541.mid",
    "Ноктюрн №1.mid": "attachment; filename=\"_______ _1.mid\"; filename*=UTF-8''"
    "%D0%9D%D0%BE%D0%BA%D1%82%D1%8E%D1%80%D0%BD%20%E2%84%961.mid",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(settings_for(tmp_path_factory.mktemp("served"))) as served:
        yield served


@pytest.fixture(scope="module")
def http(service: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def url(service: Served, http: httpx.Client) -> str:
    """The address of a file of three megabytes."""
    job = service.submit(http)
    service.finish(job, {"waltz.mid": CONTENT, "empty.mid": b""})
    return str(http.get(f"/v1/jobs/{job}").json()["files"][0]["href"])


def test_a_file_is_given_whole(http: httpx.Client, url: str) -> None:
    answer = http.get(url)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Content-Type"] == "audio/midi"
    assert answer.headers["ETag"] == ETAG
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "private" in answer.headers["Cache-Control"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=1048575-2097153", 1_048_575, 2_097_154),
        ("bytes=2999999-", 2_999_999, 3_000_000),
        ("bytes=2999990-9999999999", 2_999_990, 3_000_000),
        ("bytes=-5", 2_999_995, 3_000_000),
        ("bytes=-9999999999", 0, 3_000_000),
        ("Bytes = 3-4", 3, 5),
    ],
)
def test_a_part_is_given(http: httpx.Client, url: str, wanted: str, start: int, end: int) -> None:
    answer = http.get(url, headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (206, CONTENT[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/3000000"
    assert answer.headers["Content-Length"] == str(end - start)
    assert answer.headers["ETag"] == ETAG


@pytest.mark.parametrize("wanted", ["bytes=3000000-", "bytes=-0", "bytes=99999999999-99999999999"])
def test_a_part_beyond_the_end_is_refused(http: httpx.Client, url: str, wanted: str) -> None:
    answer = http.get(url, headers={"Range": wanted})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == "bytes */3000000"
    assert answer.json()["type"].endswith(":range-not-satisfiable")


@pytest.mark.parametrize(
    "wanted", ["bytes=0-1,4-5", "bytes=5-4", "bytes=-", "bytes=a-b", "lines=1-2", "0-1", "bytes=1-2-3"]
)
def test_what_is_no_single_range_gives_the_whole(http: httpx.Client, url: str, wanted: str) -> None:
    answer = http.get(url, headers={"Range": wanted})
    assert (answer.status_code, len(answer.content)) == (200, len(CONTENT))


@pytest.mark.parametrize(
    ("condition", "status"),
    [(ETAG, 206), ('"other"', 200), (f"W/{ETAG}", 200), ("Sat, 21 Nov 2026 12:00:00 GMT", 200)],
)
def test_a_part_is_given_of_the_very_file_only(
    http: httpx.Client, url: str, condition: str, status: int
) -> None:
    answer = http.get(url, headers={"Range": "bytes=0-9", "If-Range": condition})
    assert answer.status_code == status


@pytest.mark.parametrize("tags", [ETAG, f"W/{ETAG}", f'"other", {ETAG}', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_who_has_it_is_told_so(http: httpx.Client, url: str, tags: str, method: str) -> None:
    answer = http.request(method, url, headers={"If-None-Match": tags, "Range": "bytes=0-9"})
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", ETAG)
    assert http.request(method, url, headers={"If-None-Match": '"other"'}).status_code == 200


def test_head_tells_all_but_the_content(http: httpx.Client, url: str) -> None:
    whole, head = http.get(url), http.head(url, headers={"Range": "bytes=0-9"})
    assert (head.status_code, head.content) == (200, b"")
    told = {"etag", "content-length", "content-type", "content-disposition", "accept-ranges"}
    assert {name: whole.headers[name] for name in told} == {name: head.headers[name] for name in told}


def test_an_empty_file_is_a_file(http: httpx.Client, url: str) -> None:
    empty = url.replace("waltz", "empty")
    answer = http.get(empty)
    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")
    assert http.get(empty, headers={"Range": "bytes=0-"}).status_code == 416


def test_any_name_can_be_saved(http: httpx.Client, service: Served) -> None:
    job = service.submit(http, content=b"names")
    service.finish(job, dict.fromkeys(NAMES, b"MThd"))
    for file in http.get(f"/v1/jobs/{job}").json()["files"]:
        answer = http.get(file["href"])
        assert answer.status_code == 200
        assert answer.headers["Content-Disposition"] == NAMES[file["name"]]


def test_what_could_run_is_kept_from_it(http: httpx.Client, service: Served) -> None:
    job = service.submit(http, content=b"svg")
    service.finish(job, {"waltz.svg": b"<svg><script>alert(1)</script></svg>"}, "image/svg+xml")
    answer = http.get(f"/v1/jobs/{job}/files/waltz.svg")
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    policy = answer.headers["Content-Security-Policy"]
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize("name", ["other.mid", "%2e%2e", "..%2f..%2finput%2f0", "waltz.mid%00"])
def test_only_what_the_job_lists_is_there(http: httpx.Client, url: str, name: str) -> None:
    answer = http.get(url.replace("waltz.mid", name))
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_file_that_is_lost_is_a_clear_failure(http: httpx.Client, service: Served) -> None:
    job = service.submit(http, content=b"lost")
    service.finish(job, {"lost.mid": b"MThd"})
    (Path(service.settings.files_url) / file_path(job, hashlib.sha256(b"MThd").hexdigest())).unlink()
    answer = http.get(f"/v1/jobs/{job}/files/lost.mid")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:copyist:problem:not-found")


def test_clients_that_leave_midway_leave_nothing_open(http: httpx.Client, service: Served, url: str) -> None:
    def held() -> list[str]:
        gc.collect()
        kept = str(Path(service.settings.files_url))
        return [file.path for file in psutil.Process().open_files() if file.path.startswith(kept)]

    wait_for(lambda: not held())  # of the answers before
    for _ in range(5):
        with httpx.Client(base_url=service.url, timeout=60) as other, other.stream("GET", url) as answer:
            next(answer.iter_raw(1000))
    wait_for(lambda: not held())
    assert http.get(url).content == CONTENT
