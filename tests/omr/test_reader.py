"""The reader on a model server in memory: order, limits, cancellation, failures, and a real page."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from services.errors import ModelUnavailableError, OverloadedError, TooLargeError, UnreadableMediaError
from services.omr import answer, notation
from services.omr.models import ContextModel, SymbolsModel
from services.omr.options import Options, PageFormat
from services.omr.reader import Reader
from services.omr.uploads import PageLimits
from services.omr.vocabulary import HEADS
from services.runtime.processes import Processes
from services.runtime.release.manifest import Role
from services.triton.environment import REPOSITORY_ROOT
from tests.omr.seeing import SeeingServer

DEMO_PAGE = REPOSITORY_ROOT / "services" / "client" / "samples" / "demo-page.png"
MODEL = REPOSITORY_ROOT / "model_repository" / "symbols" / "1" / "model.onnx"


@pytest.fixture
def server() -> SeeingServer:
    return SeeingServer("2", "10")


@pytest.fixture
def processes() -> Iterator[Processes]:
    made = Processes(1, warm_up=notation.warm_up, max_s=120)
    yield made
    made.close()


def make_reader(
    server: SeeingServer, processes: Processes, repository: Path, context: ContextModel | None = None
) -> Reader:
    return Reader(
        SymbolsModel(server, repository, tiles_in_flight=3),
        context,
        processes,
        limits=PageLimits(max_pages=4, max_page_pixels=10_000_000),
        max_recognitions=2,
        pages_in_flight=2,
    )


@pytest.fixture
async def reader(server: SeeingServer, processes: Processes, tmp_path: Path) -> AsyncIterator[Reader]:
    made = make_reader(server, processes, tmp_path)
    yield made
    await made.close()


def staves(count: int = 3) -> io.BytesIO:
    """A page of empty staves, staff space 12 px."""
    picture = np.full((150 + count * 150, 800), 255, np.uint8)
    for staff in range(count):
        for line in range(5):
            y = 100 + staff * 150 + line * 12
            picture[y : y + 2, 60:740] = 0
    return png(picture)


def png(picture: NDArray[np.uint8]) -> io.BytesIO:
    return io.BytesIO(cv2.imencode(".png", picture)[1].tobytes())


BLANK = np.full((300, 200), 255, np.uint8)


@pytest.mark.slow
async def test_a_page_becomes_notes_and_files(reader: Reader, server: SeeingServer) -> None:
    server.model = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    options = Options(formats=tuple(PageFormat), explain=True)
    with DEMO_PAGE.open("rb") as page:
        reading = await reader.read([page], options, title="Röslein", request_id="r")
    assert [len(system.staves) for system in reading.recognition.pages[0].systems] == [3, 3, 3]
    assert 180 <= len(reading.recognition.notes) <= 205
    assert reading.version == "10", "the newest by number"
    assert set(server.versions_asked("symbols")) == {"10"}, "all of a page by one version"
    assert set(reading.files) == set(PageFormat)
    assert reading.files[PageFormat.MIDI][0].startswith(b"MThd")
    overlay = cv2.imdecode(np.frombuffer(reading.files[PageFormat.OVERLAY][0], np.uint8), cv2.IMREAD_COLOR)
    assert overlay is not None
    assert (overlay.max(axis=2).astype(int) - overlay.min(axis=2)).max() > 100, "it is coloured"
    told = json.loads(answer.as_json(reading, "id", "page", explain=True))
    assert len(told["notes"]) == len(reading.recognition.notes)
    assert told["decisions"]
    assert json.loads(reading.files[PageFormat.JSON][0])["notes"] == told["notes"]
    assert set(told["timings_s"]) == {
        *("open", "queue", "read", "prepare", "model", "staves", "assembly", "engraving", "overlay")
    }


@pytest.mark.slow
async def test_what_context_takes_for_no_symbol_is_gone_unless_it_is_plainly_seen(
    server: SeeingServer, processes: Processes, tmp_path: Path
) -> None:
    server.model = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    reader = make_reader(server, processes, tmp_path, ContextModel(server, tmp_path))
    with DEMO_PAGE.open("rb") as page:
        reading = await reader.read([page], Options(), request_id="r")
    await reader.close()
    assert reading.context_version == "10"
    assert "context" in reading.timings_s
    assert sum(len(system.staves) for system in reading.recognition.pages[0].systems) == 9
    heads = [each for each in reading.recognition.pages[0].symbols if each.kind in HEADS]
    assert heads
    assert min(head.confidence for head in heads) >= 0.6


async def test_pages_come_in_the_order_of_the_files(reader: Reader) -> None:
    sizes = [(300, 200), (310, 210), (320, 220)]
    files = [png(np.full(size, 255, np.uint8)) for size in sizes]
    reading = await reader.read(files, Options(), request_id="r")
    assert [page.size[::-1] for page in reading.recognition.pages] == sizes
    assert [place.file for place in reading.places] == [0, 1, 2]


@pytest.mark.parametrize("files", [[BLANK], [BLANK, BLANK], [np.zeros((1, 1), np.uint8)]])
async def test_pages_without_staves_are_told_and_no_error(
    reader: Reader, server: SeeingServer, files: list[NDArray[np.uint8]]
) -> None:
    reading = await reader.read(
        [png(file) for file in files], Options(formats=tuple(PageFormat)), request_id="r"
    )
    assert answer.message(reading) == "No staves found."
    assert reading.recognition.score is None
    assert set(reading.files) == {PageFormat.JSON, PageFormat.OVERLAY}
    told = json.loads(answer.as_json(reading, "id", "page", explain=False))
    assert (told["notes"], told["key"], len(told["pages"])) == ([], None, len(files))


async def test_tiles_are_sent_at_once_but_not_too_many(reader: Reader, server: SeeingServer) -> None:
    random = np.random.default_rng(0)
    scattered = np.where(random.random((2400, 1800)) < 0.002, 0, 255).astype(np.uint8)
    with DEMO_PAGE.open("rb") as page:
        await reader.read([page, png(scattered)], Options(), request_id="r")
    assert 1 < server.most[Role.STABLE] <= 6, "three of each of two pages"


async def test_more_requests_than_allowed_are_refused(reader: Reader, server: SeeingServer) -> None:
    server.gate.clear()
    running = [asyncio.create_task(reader.read([staves()], Options(), request_id="r")) for _ in range(2)]
    await asyncio.wait_for(server.busy.wait(), 60)
    with pytest.raises(OverloadedError, match="COPYIST_MAX_RECOGNITIONS"):
        await reader.read([staves()], Options(), request_id="r")
    server.gate.set()
    assert len(await asyncio.gather(*running)) == 2
    reader.check_room()


async def test_cancelling_ends_the_calls_and_frees_the_place(reader: Reader, server: SeeingServer) -> None:
    server.gate.clear()
    running = asyncio.create_task(reader.read([staves(), staves(), staves()], Options(), request_id="r"))
    await asyncio.wait_for(server.busy.wait(), 60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert server.now.total() == 0
    server.gate.set()
    assert (await reader.read([staves()], Options(), request_id="r")).recognition.pages


@pytest.mark.parametrize(
    ("files", "kind", "words"),
    [
        ([b""], UnreadableMediaError, "0 bytes"),
        ([b"no picture at all"], UnreadableMediaError, "plain text"),
        ([staves().getvalue(), b"x"], UnreadableMediaError, "File 2 of 2"),
        ([staves().getvalue()] * 5, TooLargeError, "COPYIST_MAX_PAGES"),
    ],
)
async def test_what_cannot_be_read_is_told_before_the_model_is_asked(
    reader: Reader, server: SeeingServer, files: list[bytes], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        await reader.read([io.BytesIO(file) for file in files], Options(), request_id="r")
    assert not server.asked
    reader.check_room()


async def test_without_a_model_nothing_is_read(reader: Reader, server: SeeingServer) -> None:
    server.ready = ()
    with pytest.raises(ModelUnavailableError, match="no version of the model symbols"):
        await reader.read([staves()], Options(), request_id="r")


async def test_a_failing_model_fails_the_request(reader: Reader, server: SeeingServer) -> None:
    server.fail(ModelUnavailableError("gone"))
    with pytest.raises(ModelUnavailableError, match="gone"):
        await reader.read([staves()], Options(), request_id="r")
    assert server.now.total() == 0
    reader.check_room()


async def test_pages_are_restored_each_to_a_png(reader: Reader) -> None:
    restored = await reader.restore([staves(), staves(2)])
    pictures = [cv2.imdecode(np.frombuffer(page, np.uint8), cv2.IMREAD_GRAYSCALE) for page in restored]
    assert len(pictures) == 2
    assert all(picture is not None and set(np.unique(picture)) <= {0, 255} for picture in pictures)
