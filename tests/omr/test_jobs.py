"""Pages as jobs: what the stages give is what the direct route answers, and no page is read twice."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from services.errors import ModelUnavailableError, TooLargeError
from services.local.stack import LocalStack
from services.omr import backend
from services.omr.jobs import PAGE_FORM, PageJobs
from services.omr.page_reader import ReadPage
from services.runtime.jobs.job import JobState
from services.runtime.jobs.kept import packed, unpacked
from services.runtime.settings import Settings
from services.triton.environment import REPOSITORY_ROOT
from tests.omr.seeing import SeeingServer
from tests.stage_context import KilledError, MemoryContext, comparable, run

DEMO = REPOSITORY_ROOT / "services" / "client" / "samples" / "demo-page.png"
FORMATS = "midi,musicxml,pdf,svg,json,overlay"
PAGES = 5


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> SeeingServer:
    made = SeeingServer()
    monkeypatch.setattr(backend, "TritonClient", lambda url, timeout_s: made)
    return made


@pytest.fixture
async def jobs(server: SeeingServer, tmp_path: Path) -> AsyncIterator[PageJobs]:
    made = PageJobs(
        Settings(
            worker_jobs=1, pages_in_flight=1, max_pages=PAGES, release_url=str(tmp_path / "release.json")
        )
    )
    yield made
    await made.close()


@pytest.fixture
def context(tmp_path: Path) -> MemoryContext:
    """Pages of one empty staff each: a tile a page."""
    files = []
    for page in range(PAGES):
        picture = np.full((300, 400 + page), 255, np.uint8)
        for line in range(5):
            picture[150 + 12 * line : 152 + 12 * line, 60:340] = 0
        path = tmp_path / str(page)
        path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        files.append(path)
    return MemoryContext(files, tmp_path, {"formats": "json"})


def smaller(page: bytes) -> bytes:
    picture = cv2.imdecode(np.frombuffer(page, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    small = cv2.resize(picture, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".png", small)[1].tobytes()


@pytest.mark.stack
@pytest.mark.slow
async def test_a_job_that_was_killed_amid_gives_the_direct_answer_byte_for_byte(
    stack: LocalStack, tmp_path: Path
) -> None:
    blank = cv2.imencode(".png", np.full((300, 200), 255, np.uint8))[1].tobytes()
    pages = [DEMO.read_bytes(), blank, smaller(DEMO.read_bytes())]
    asked = {"formats": FORMATS, "explain": "1"}
    accept = {"Accept": "application/zip"}
    async with httpx.AsyncClient(base_url=stack.omr_http_url, timeout=120, headers=accept) as http:
        upload = [("file", (f"demo{i}.png", page)) for i, page in enumerate(pages)]
        answer = await http.post("/v1/recognize", files=upload, data=asked)
        assert answer.status_code == 200, answer.text
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            direct = {name: comparable(name, archive.read(name)) for name in archive.namelist()}
    paths = [tmp_path / str(i) for i in range(len(pages))]
    for path, page in zip(paths, pages, strict=True):
        path.write_bytes(page)
    jobs = PageJobs(
        Settings(triton_url=stack.triton_url, pages_in_flight=1, release_url=str(tmp_path / "release.json"))
    )
    first = MemoryContext(paths, tmp_path, asked, title="demo0", fails_after=2)
    second = replace(first, fails_after=None, told=[])
    try:
        with pytest.raises(KilledError):
            await run(jobs, first)
        assert len(first.pieces) == 2
        await run(jobs, second)
        places = await jobs.reader.open(paths)
        whole = await jobs.reader.read_pages(places, await jobs.reader.page_reader.choose("r"))
    finally:
        await jobs.close()
    made = {name: comparable(name, file.content) for name, file in second.files.items()}
    assert made == direct
    assert len(made) == 5 + len(pages) + 1
    assert second.told[0] == (2 / 3, "page 3 of 3")
    for index, page in enumerate(whole):
        kept = unpacked(second.pieces[f"page-{index + 1}"], ReadPage, PAGE_FORM)
        assert kept is not None
        # Packed once more, as arrays have no equality; the seconds that reading took are its own each time.
        assert packed(replace(kept, timings_s={}), "") == packed(replace(page, timings_s={}), "")


async def test_a_job_goes_on_with_the_page_it_was_at(
    jobs: PageJobs, context: MemoryContext, server: SeeingServer
) -> None:
    read, write = jobs.stages
    assert (read.state, write.state) == (JobState.RECOGNIZING, JobState.ENGRAVING)
    assert sum(stage.share for stage in jobs.stages) == pytest.approx(1)
    killed = replace(context, fails_after=3)
    with pytest.raises(KilledError):
        await read.run(killed)
    assert sorted(context.pieces) == ["page-1", "page-2", "page-3"]
    assert len(server.versions_asked("symbols")) == 4, "the fourth was read, and lost"
    context.told.clear()
    await read.run(context)
    assert len(server.versions_asked("symbols")) == 4 + 2
    assert context.told == [(3 / 5, "page 4 of 5"), (4 / 5, "page 5 of 5"), (1, "page 5 of 5")]


async def test_pages_that_were_read_need_no_model_any_more(
    jobs: PageJobs, context: MemoryContext, server: SeeingServer
) -> None:
    await jobs.stages[0].run(context)
    server.ready = ()
    await jobs.stages[0].run(context)
    await jobs.stages[1].run(context)
    assert len(server.versions_asked("symbols")) == PAGES
    assert set(context.files) == {"piece.json", "piece.answer.json"}
    told = json.loads(context.files["piece.answer.json"].content)
    assert [page["width"] for page in told["pages"]] == [400, 401, 402, 403, 404]


async def begun(jobs: PageJobs, context: MemoryContext) -> None:
    with pytest.raises(KilledError):
        await jobs.stages[0].run(replace(context, fails_after=3))


def versions(context: MemoryContext) -> tuple[str, str | None]:
    told = json.loads(context.files["piece.answer.json"].content)
    return told["model"]["version"], told["context"]


async def test_a_job_stays_with_the_versions_it_was_begun_with(
    jobs: PageJobs, context: MemoryContext, server: SeeingServer
) -> None:
    await begun(jobs, context)
    server.ready = ("1", "2")
    await jobs.check_ready()
    await run(jobs, context)
    assert set(server.versions_asked("symbols")) == {"1"}
    assert versions(context) == ("1", "1")


@pytest.mark.parametrize(
    ("ready", "told"),
    [
        ({"symbols": ("2", "3"), "context": ("1",)}, ("3", "1")),
        ({"symbols": ("1",), "context": ("2",)}, ("1", "2")),
    ],
)
async def test_once_they_are_gone_all_pages_are_read_by_the_newest(
    jobs: PageJobs,
    context: MemoryContext,
    server: SeeingServer,
    ready: dict[str, tuple[str, ...]],
    told: tuple[str, str],
) -> None:
    await begun(jobs, context)
    server.ready_of = ready
    await jobs.check_ready()
    server.asked.clear()
    await run(jobs, context)
    assert server.versions_asked("symbols") == [told[0]] * PAGES
    assert versions(context) == told


async def test_pages_that_another_release_kept_are_read_again(
    jobs: PageJobs, context: MemoryContext, server: SeeingServer
) -> None:
    await jobs.stages[0].run(context)
    page = unpacked(context.pieces["page-2"], ReadPage, PAGE_FORM)
    context.pieces["page-2"] = packed(page, "omr-page/0")
    await jobs.stages[1].run(context)
    assert len(server.versions_asked("symbols")) == PAGES + 1
    assert "piece.answer.json" in context.files


async def test_jobs_are_not_refused_for_what_requests_are_refused_for(
    jobs: PageJobs, context: MemoryContext
) -> None:
    assert jobs.settings.max_recognitions == 1
    several = [replace(context, pieces={}, files={}) for _ in range(3)]
    await asyncio.gather(*(run(jobs, each) for each in several))
    assert [len(each.files) for each in several] == [2, 2, 2]


async def test_too_many_pages_and_absent_models_are_told_as_ever(
    jobs: PageJobs, context: MemoryContext, server: SeeingServer
) -> None:
    many = replace(context, inputs=[*context.inputs, context.inputs[0]])
    with pytest.raises(TooLargeError, match="COPYIST_MAX_PAGES"):
        await jobs.stages[0].run(many)
    server.ready = ()
    with pytest.raises(ModelUnavailableError):
        await jobs.check_ready()
    with pytest.raises(ModelUnavailableError):
        await jobs.stages[0].run(context)
    assert not context.pieces
