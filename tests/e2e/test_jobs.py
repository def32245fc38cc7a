"""Jobs on the real stack: by the command, by Python and by plain HTTP; what comes is the direct answer."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.client import Copyist, Transcription
from services.client.pages import Recognition
from services.local.stack import LocalStack
from tests.client.command import COMMAND, copyist, environment, heed_interrupts, tree
from tests.exposition import exposed, values
from tests.paused import paused
from tests.recordings import tones, with_soundfile
from tests.waiting import wait_for

pytestmark = pytest.mark.stack
SAMPLES = Path(__file__).parents[2] / "services/client/samples"
RECORDING = SAMPLES / "demo.flac"
PAGE = SAMPLES / "demo-page.png"
FINAL = ("completed", "failed", "cancelled")


@pytest.fixture(scope="module")
def addresses(stack: LocalStack) -> list[str]:
    return ["--url", stack.http_url, "--pages-url", stack.omr_http_url]


@pytest.fixture
def both(stack: LocalStack) -> Iterator[Copyist]:
    with Copyist(stack.http_url, pages_url=stack.omr_http_url) as client:
        yield client


def _heard(answer: Transcription) -> dict[str, Any]:
    """What was heard, without what differs from call to call."""
    found = {name: getattr(answer, name) for name in ("duration_s", "notes", "key", "metre", "tempo")}
    return found | {"files": {file.name: file.content for file in answer.files if file.format != "json"}}


def _seen(answer: Recognition) -> dict[str, Any]:
    found = {name: getattr(answer, name) for name in ("message", "key", "metre", "notes", "pages")}
    return found | {"files": {file.name: file.content for file in answer.files if file.format != "json"}}


def test_a_recording_and_a_page_by_one_command(addresses: list[str], both: Copyist, tmp_path: Path) -> None:
    arguments = ["jobs", "submit", RECORDING, PAGE, "--format", "musicxml,midi", "--wait", "-o", "out"]
    done = copyist(*arguments, *addresses, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ids = re.findall(r"job ([0-9a-f]{32}) completed", done.stdout)
    assert len(ids) == 2
    assert tree(tmp_path / "out") == ["demo-page.mid", "demo-page.musicxml", "demo.mid", "demo.musicxml"]
    heard = both.transcribe(RECORDING, formats="musicxml,midi")
    seen = both.recognize(PAGE, formats="musicxml,midi")
    for file in (*heard.files, *seen.files):
        assert (tmp_path / "out" / file.name).read_bytes() == file.content, file.name
    results = {}
    for job_id in ids:
        handle = both.job(job_id)
        assert handle.job.state == "completed"
        assert handle.job.attempts == 1
        results[handle.job.service] = handle.result()
    assert _heard(results["amt"]) == _heard(heard)
    assert _seen(results["omr"]) == _seen(seen)

    again = copyist(*arguments[:-2], "-o", "again", *addresses, cwd=tmp_path)
    assert sorted(re.findall(r"job ([0-9a-f]{32}) completed", again.stdout)) == sorted(ids)
    listed = copyist("jobs", "list", "--state", "completed", *addresses)
    assert set(ids) <= set(listed.stdout.split())
    shown = copyist("jobs", "show", ids[0], *addresses)
    assert ids[0] in shown.stdout
    assert "completed, 100%" in shown.stdout
    fetched = copyist("jobs", "fetch", *ids, "-o", "fetched", *addresses, cwd=tmp_path)
    assert fetched.returncode == 0, fetched.stderr
    assert tree(tmp_path / "fetched") == tree(tmp_path / "out")
    assert copyist("jobs", "show", "0" * 32, *addresses).returncode == 1


def test_a_job_by_plain_http_and_its_events(stack: LocalStack) -> None:
    upload = {"file": ("waltz.wav", with_soundfile(tones(20, 16_000), 16_000, "WAV"))}
    with httpx.Client(base_url=stack.http_url, timeout=60) as http:
        accepted = http.post("/v1/jobs", files=upload, data={"formats": "midi,svg"})
        assert accepted.status_code == 202
        job = accepted.json()
        states: list[str] = []
        percents: list[int] = []
        with http.stream("GET", job["links"]["events"]) as events:
            for line in events.iter_lines():
                if line.startswith("data: "):
                    told = json.loads(line.removeprefix("data: "))
                    states.append(told["state"])
                    percents.append(told["progress"])
        assert states[-1] == "completed"
        assert set(states) <= {"queued", "transcribing", "engraving", "completed"}
        assert percents == sorted(percents)
        assert percents[-1] == 100
        done = http.get(accepted.headers["Location"]).json()
        direct = http.post("/v1/transcribe", files=upload, data={"formats": "midi,svg"}).json()
        files = {file["format"]: file for file in done["files"]}
        assert set(files) == {"midi", "svg", "answer"}
        answer = http.get(files["answer"]["href"]).json()
        assert answer["notes"] == direct["notes"]
        for file in files.values():
            content = http.get(file["href"])
            assert len(content.content) == file["size"]
            assert content.headers["ETag"] == f'"{file["sha256"]}"'
            assert content.headers["Content-Type"].startswith(file["media_type"].split(";")[0])
        assert http.delete(done["links"]["self"]).status_code == 204
        assert http.get(files["midi"]["href"]).status_code == 404


def test_what_is_no_music_fails_with_the_direct_routes_problem(both: Copyist, stack: LocalStack) -> None:
    upload = {"file": ("noise.mp3", b"this is no music")}
    with httpx.Client(base_url=stack.http_url, timeout=60) as http:
        direct = http.post("/v1/transcribe", files=upload).json()
        job = http.post("/v1/jobs", files=upload).json()
        wait_for(lambda: http.get(job["links"]["self"]).json()["state"] in FINAL)
        failed = http.get(job["links"]["self"]).json()
    assert failed["state"] == "failed"
    for member in ("type", "title", "status", "detail", "remedy"):
        assert failed["problem"][member] == direct[member]


def test_interrupted_waiting_leaves_the_job_and_says_how_to_go_on(
    addresses: list[str], stack: LocalStack, tmp_path: Path
) -> None:
    wait_for(lambda: _followed(stack) == 0)
    (tmp_path / "long.flac").write_bytes(with_soundfile(tones(20, 16_000), 16_000, "FLAC"))
    with paused(stack, "amt-worker"):
        process = subprocess.Popen(
            [*COMMAND, "jobs", "submit", "long.flac", "--format", "midi", "--wait", "-o", "out", *addresses],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_interrupts,  # noqa: PLW1509
        )
        with process:
            wait_for(lambda: _followed(stack) == 1)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    found = re.search(r"the jobs go on; to wait for them: copyist (jobs wait [0-9a-f]{32} -o out)", said)
    assert found, said
    goes_on = copyist(*found[1].split(), *addresses, cwd=tmp_path)
    assert goes_on.returncode == 0, goes_on.stderr
    assert tree(tmp_path / "out") == ["long.mid"]


def test_a_job_under_way_is_cancelled(addresses: list[str], both: Copyist) -> None:
    handle = both.submit(with_soundfile(tones(500, 16_000), 16_000, "FLAC"), name="endless.flac")
    wait_for(lambda: handle.refresh().state == "transcribing")
    cancelled = copyist("jobs", "cancel", handle.id, *addresses)
    assert cancelled.returncode == 0
    assert "cancelled" in cancelled.stdout
    wait_for(lambda: handle.refresh().state == "cancelled")
    waited = copyist("jobs", "wait", handle.id, *addresses)
    assert waited.returncode == 1
    assert "was cancelled" in waited.stderr


def test_prometheus_is_told_of_the_jobs(stack: LocalStack) -> None:
    for url, service in ((stack.http_url, "amt"), (stack.omr_http_url, "omr")):
        told = exposed(url)
        for state in ("queued", "completed"):
            assert values(told, "copyist_jobs", service=service, state=state)
        assert values(told, "copyist_jobs_oldest_queued_seconds", service=service)


def _followed(stack: LocalStack) -> float:
    """How many callers follow a job just now."""
    of = {"protocol": "http", "route": "/v1/jobs/{id}/events"}
    return sum(values(exposed(stack.http_url), "copyist_requests_in_flight", **of))
