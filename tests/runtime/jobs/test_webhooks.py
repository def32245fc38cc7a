"""Calls that tell of a job's end."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from services.runtime.jobs.job import Job, JobState
from services.runtime.jobs.queue import JobQueue, webhook_id
from services.runtime.jobs.webhooks import retry_delay_s, signature
from services.runtime.settings import Settings
from tests.databases import wait_until
from tests.runtime.jobs.conftest import MakeFleet
from tests.runtime.jobs.fleet import Fleet

SECRET = "between us"
#: Its headers, its body, and when it came.
Call = tuple[dict[str, str], bytes, float]


class Hooks:
    """A caller's own server; `answers` is asked for the status of each call."""

    def __init__(self, answers: Callable[[int], int], location: str) -> None:
        self.calls: list[Call] = []
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hooks.calls.append((dict(self.headers), body, time.time()))
                self.send_response(answers(len(hooks.calls)))
                if location:
                    self.send_header("Location", location)
                # More than anybody would want to read.
                self.send_header("Content-Length", str(1 << 40))
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook?a=b"


@contextmanager
def hooks(answers: Callable[[int], int] = lambda call: 204, location: str = "") -> Iterator[Hooks]:
    serving = Hooks(answers, location)
    thread = threading.Thread(target=serving.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield serving
    finally:
        serving.server.shutdown()
        thread.join()
        serving.server.server_close()


def submit(fleet: Fleet, key: str, url: str, **options: str) -> Job:
    return fleet.store.submit(fleet.submission(key, b"music", options, webhook_url=url))[0]


def check_signature(call: Call) -> None:
    headers, body, came_at = call
    header = dict(part.split("=", 1) for part in headers["Copyist-Signature"].split(","))
    assert abs(came_at - int(header["t"])) < 60
    signed = header["t"].encode() + b"." + body
    assert header["v1"] == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()


def test_the_signature_is_what_is_documented() -> None:
    assert signature("secret", 1_700_000_000, b'{"id": "1"}') == (
        "t=1700000000,v1=" + hmac.digest(b"secret", b'1700000000.{"id": "1"}', "sha256").hex()
    )


def test_tries_spread_over_about_a_day() -> None:
    delays = [retry_delay_s(attempt) for attempt in range(1, Settings().webhook_attempts)]

    assert delays[0] <= 15
    assert all(later > 2 * sooner for sooner, later in itertools.pairwise(delays))
    assert 20 * 3600 < sum(delays) < 28 * 3600


@pytest.mark.slow
def test_ends_are_told_of_signed_and_told_again_until_they_are_heard(small_fleet: MakeFleet) -> None:
    fleet = small_fleet(webhook_secret=SECRET, worker_jobs=2)
    with (
        hooks(lambda call: 503 if call < 3 else 200) as heard,
        hooks() as also,
        hooks(lambda call: 302, f"{also.url}&redirected") as redirecting,
        hooks(lambda call: 410) as gone,
    ):
        cancelled = submit(fleet, "cancelled", also.url)
        fleet.store.cancel("amt", "somebody", cancelled.id)
        fleet.start("only", TOY_LOCAL_WEBHOOKS="1")
        done = submit(fleet, "done", heard.url)
        failed = submit(fleet, "failed", also.url, fail="transcribing")
        moved = submit(fleet, "moved", redirecting.url)
        unwanted = submit(fleet, "unwanted", gone.url)
        wait_until(lambda: len(heard.calls) == 3, "it is told again")
        wait_until(lambda: len(also.calls) == 2, "others are told, too")
        wait_until(lambda: len(gone.calls) == 1, "it is told once")
        fleet.wait_finished([done, moved, unwanted])
        # A call whose try was killed before its end was recorded would be made again, rightly.
        tries = [webhook_id(done.id, 3), *(webhook_id(job.id, 1) for job in (cancelled, failed, unwanted))]
        queue = JobQueue(fleet.database)
        wait_until(lambda: not queue.alive(tries), "these tries have ended")
        # A worker that is killed in between does not keep the calls from going on.
        calls = len(redirecting.calls)
        fleet.kill("only")
        fleet.start("next", TOY_LOCAL_WEBHOOKS="1")
        # The next try lies as long ahead as all those before took, and three times more.
        wait_until(lambda: len(redirecting.calls) > calls, "tries go on", 600)

    for call in (*heard.calls, *also.calls):
        check_signature(call)
    told = json.loads(heard.calls[-1][1])
    (file,) = fleet.job(done).files
    assert (told["id"], told["service"], told["state"]) == (done.id, "amt", "completed")
    assert told["files"] == [
        {
            "name": "piece-done.txt",
            "format": "txt",
            "media_type": "text/plain",
            "size": file.size,
            "sha256": file.sha256,
            "href": f"/v1/jobs/{done.id}/files/piece-done.txt",
        }
    ]
    assert told["problem"] is None
    assert told["created_at"] <= told["started_at"] < told["finished_at"] < told["expires_at"]
    others = {json.loads(body)["id"]: json.loads(body) for _, body, _ in also.calls}
    assert others.keys() == {cancelled.id, failed.id}, "no redirect was followed"
    assert others[cancelled.id]["state"] == "cancelled"
    assert others[failed.id]["problem"]["type"].endswith("unreadable-media")
    assert len(heard.calls) == 3
    assert len(gone.calls) == 1


@pytest.mark.slow
def test_private_addresses_are_not_called_and_the_job_is_none_the_worse(small_fleet: MakeFleet) -> None:
    fleet = small_fleet(webhook_secret=SECRET)
    with hooks() as inside:
        # As if the name had led elsewhere when the job was submitted.
        fleet.start("only")
        job = submit(fleet, "1", f"http://localhost:{inside.port}/")
        (ended,) = fleet.wait_finished([job])
        assert ended.state is JobState.COMPLETED
        log = fleet.folder / "only.log"
        wait_until(lambda: "try 1: refused" in log.read_text(), "the call is refused")
        time.sleep(1)
    assert not inside.calls
