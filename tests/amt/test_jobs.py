"""Recordings as jobs: what the stages give is what the direct route answers, and nothing is done twice."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from services.amt import backend
from services.amt.jobs import HEARD, HEARD_FORM, AudioJobs
from services.amt.transcriber import Heard
from services.errors import ModelUnavailableError, UnreadableMediaError
from services.local.stack import LocalStack
from services.runtime.jobs.job import JobState
from services.runtime.jobs.kept import packed, unpacked
from services.runtime.settings import Settings
from services.triton.environment import REPOSITORY_ROOT
from tests.amt.hearing import HearingServer
from tests.recordings import tones, with_soundfile
from tests.stage_context import MemoryContext, comparable, run

DEMO = REPOSITORY_ROOT / "services" / "client" / "samples" / "demo.flac"
FORMATS = "midi,musicxml,pdf,svg,json,csv"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> HearingServer:
    made = HearingServer()
    monkeypatch.setattr(backend, "TritonClient", lambda url, timeout_s: made)
    return made


@pytest.fixture
async def jobs(server: HearingServer, tmp_path: Path) -> AsyncIterator[AudioJobs]:
    released = str(tmp_path / "release.json")
    made = AudioJobs(Settings(max_transcriptions=4, worker_jobs=1, release_url=released))
    yield made
    await made.close()


@pytest.fixture
def context(tmp_path: Path) -> MemoryContext:
    recording = tmp_path / "0"
    recording.write_bytes(with_soundfile(tones(60, 16_000), 16_000, "WAV"))
    return MemoryContext([recording], tmp_path, {"formats": "midi"})


@pytest.mark.stack
async def test_a_job_gives_the_direct_answer_byte_for_byte(stack: LocalStack, tmp_path: Path) -> None:
    accept = {"Accept": "application/zip"}
    async with httpx.AsyncClient(base_url=stack.http_url, timeout=120, headers=accept) as http:
        upload = {"file": ("demo.flac", DEMO.read_bytes())}
        answer = await http.post("/v1/transcribe", files=upload, data={"formats": FORMATS})
        assert answer.status_code == 200
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            direct = {name: comparable(name, archive.read(name)) for name in archive.namelist()}
    jobs = AudioJobs(Settings(triton_url=stack.triton_url, release_url=str(tmp_path / "release.json")))
    context = MemoryContext([DEMO], tmp_path, {"formats": FORMATS}, title="demo")
    try:
        await run(jobs, context)
    finally:
        await jobs.close()
    made = {name: comparable(name, file.content) for name, file in context.files.items()}
    assert made == direct
    assert len(made["demo.answer.json"]["notes"]) > 150
    assert context.files["demo.answer.json"].format == "answer"
    heard = unpacked(context.pieces[HEARD], Heard, HEARD_FORM)
    assert packed(heard, HEARD_FORM) == context.pieces[HEARD]


async def test_what_is_kept_of_a_recording_is_all_that_was_heard(
    jobs: AudioJobs, context: MemoryContext
) -> None:
    with context.inputs[0].open("rb") as source:
        heard = await jobs.transcriber.hear(source, await jobs.piano.choose("r"), request_id="r")
    restored = unpacked(packed(heard, HEARD_FORM), Heard, HEARD_FORM)
    assert len(heard.notes) > 3
    assert restored == heard


async def test_a_recording_that_was_heard_is_not_heard_again(
    jobs: AudioJobs, context: MemoryContext, server: HearingServer
) -> None:
    hear, write = jobs.stages
    assert (hear.state, write.state) == (JobState.TRANSCRIBING, JobState.ENGRAVING)
    assert sum(stage.share for stage in jobs.stages) == pytest.approx(1)
    await hear.run(context)
    server.ready, asked = (), len(server.asked)
    await hear.run(context)
    await write.run(context)
    assert len(server.asked) == asked
    assert set(context.files) == {"piece.mid", "piece.json"}
    assert json.loads(context.files["piece.json"].content)["model"]["version"] == "1"


async def test_what_another_release_kept_is_heard_again_and_the_answer_names_who_heard_it(
    jobs: AudioJobs, context: MemoryContext, server: HearingServer
) -> None:
    hear, write = jobs.stages
    await hear.run(context)
    heard = unpacked(context.pieces[HEARD], Heard, HEARD_FORM)
    context.pieces[HEARD] = packed(heard, "amt-heard/0")
    server.ready = ("2",)
    await jobs.piano.serving()
    await write.run(context)
    told = json.loads(context.files["piece.json"].content)
    assert told["model"]["version"] == "2"
    assert set(server.versions_asked("piano")) == {"1", "2"}


async def test_progress_tells_how_far_the_recording_was_heard(
    jobs: AudioJobs, context: MemoryContext
) -> None:
    await jobs.stages[0].run(context)
    done = [share for share, _ in context.told]
    assert done == sorted(done)
    assert done[-1] == 1
    assert len(done) >= 5, "one for each chunk"
    assert context.told[-1][1] == "1:00 of 1:00"


async def test_jobs_are_not_refused_for_what_requests_are_refused_for(
    jobs: AudioJobs, context: MemoryContext
) -> None:
    assert jobs.settings.max_transcriptions == 1
    several = [replace(context, pieces={}, files={}) for _ in range(3)]
    await asyncio.gather(*(run(jobs, each) for each in several))
    assert [len(each.files) for each in several] == [2, 2, 2]


async def test_bad_recordings_and_absent_models_are_told_as_ever(
    jobs: AudioJobs, context: MemoryContext, server: HearingServer
) -> None:
    context.inputs[0].write_bytes(b"no recording at all")
    with pytest.raises(UnreadableMediaError):
        await jobs.stages[0].run(context)
    server.ready = ()
    with pytest.raises(ModelUnavailableError):
        await jobs.piano.serving()
    with pytest.raises(ModelUnavailableError):
        await jobs.stages[0].run(context)
    assert HEARD not in context.pieces
