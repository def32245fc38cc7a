"""Bad pages to the real service: problems that say what is wrong, honest answers where there is no music, and
all of it soon and in bounded memory.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from services.local.stack import LocalStack
from services.music.export import Format, export
from services.music.notate import notate
from tests.music.examples import waltz
from tests.omr.uploads import encoded, page_of_text, pdf_of, photo_of_a_cat, png_that_claims, tiff_of
from tests.waiting import quickest_s

pytestmark = pytest.mark.stack

GIB = 1 << 30
MEMORY_LIMIT_BYTES = 1.5 * GIB

NOISE = np.random.default_rng(0).integers(0, 256, (600, 400), dtype=np.uint8)


def _corrupt(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(64) + content[middle + 64 :]


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


#: What is sent, the status, and words that the detail must contain.
REFUSED: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "empty file": (lambda: b"", 422, "0 bytes"),
    "text named .png": (lambda: b"These are no staves.\n" * 50, 422, "plain text"),
    "random bytes": (lambda: np.random.default_rng(0).bytes(100_000), 422, "no format"),
    "30,000 by 30,000": (lambda: png_that_claims(30_000, 30_000), 413, "30000 x 30000"),
    "decompression bomb": (lambda: png_that_claims(30_000, 30_000, rows=30_000), 413, "100000000 px"),
    "encrypted PDF": (lambda: pdf_of([b""], encrypt=True), 422, "encrypted"),
    "PDF of 500 pages": (lambda: pdf_of([b""] * 500), 413, "limit of 100"),
    "TIFF of 101 pages": (lambda: tiff_of([Image.new("1", (10, 10))] * 101), 413, "limit of 100"),
    "corrupt PNG": (lambda: _corrupt(encoded(NOISE, "PNG")), 422, "damaged"),
    "truncated PNG": (lambda: _half(encoded(NOISE, "PNG")), 422, "cut short"),
    "truncated JPEG": (lambda: _half(encoded(NOISE, "JPEG")), 422, "cut short"),
    "truncated PDF": (lambda: _half(pdf_of([b""] * 9)), 422, "damaged"),
    "playlist of an address": (lambda: b"#EXTM3U\nhttp://127.0.0.1:9/x.png\n", 422, "plain text"),
}

#: Pictures that can be read but hold no music.
WITHOUT_STAVES: dict[str, Callable[[], bytes]] = {
    "photo of a cat": photo_of_a_cat,
    "blank page": lambda: encoded(np.full((1754, 1240), 255, np.uint8), "PNG"),
    "black page": lambda: encoded(np.zeros((1754, 1240), np.uint8), "PNG"),
    "page of text": page_of_text,
    "noise": lambda: encoded(NOISE, "PNG"),
    "one pixel": lambda: encoded(np.zeros((1, 1), np.uint8), "PNG"),
    "one row": lambda: encoded(np.zeros((1, 5000), np.uint8), "PNG"),
    "blank PDF": lambda: pdf_of([b""]),
}


@pytest.fixture(scope="module")
def http(stack: LocalStack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.omr_http_url, timeout=300) as client:
        yield client


@pytest.fixture(scope="module")
def music() -> bytes:
    """A page of music as a PDF."""
    notes = waltz(24)
    return export(notes, notate(notes), [Format.PDF])[Format.PDF]


def _check_problem(answer: httpx.Response, status: int, words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:copyist:problem:")
    assert words in problem["detail"]
    assert problem["remedy"]


@pytest.mark.parametrize("address", ["/v1/recognize", "/v1/restore"])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused(http: httpx.Client, kind: str, address: str) -> None:
    make, status, words = REFUSED[kind]
    upload = {"file": ("page.png", make())}
    answers: list[httpx.Response] = []
    assert quickest_s(lambda: answers.append(http.post(address, files=upload)), 5) < 5
    for answer in answers:
        _check_problem(answer, status, words)


@pytest.mark.parametrize("kind", WITHOUT_STAVES)
def test_pages_without_music_are_said_to_have_none(http: httpx.Client, kind: str) -> None:
    content = WITHOUT_STAVES[kind]()
    answer = http.post(
        "/v1/recognize",
        files={"file": ("page.png", content)},
        params={"formats": "json,musicxml,midi,overlay"},
    )
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["message"] == "No staves found."
    assert found["notes"] == []
    assert [page["systems"] for page in found["pages"]] == [[]]
    restored = http.post("/v1/restore", files={"file": ("page.png", content)})
    assert restored.status_code == 200, restored.text
    assert Image.open(io.BytesIO(restored.content)).mode == "1"


def test_a_turned_page_is_read_as_the_upright_one(http: httpx.Client, music: bytes) -> None:
    upright = http.post("/v1/recognize", files={"file": ("page.pdf", music)})
    assert upright.status_code == 200, upright.text
    systems = len(upright.json()["pages"][0]["systems"])
    assert systems > 0
    turned = http.post("/v1/recognize", files={"file": ("page.png", _on_its_side(music))})
    assert turned.status_code == 200, turned.text
    assert len(turned.json()["pages"][0]["systems"]) == systems


def _on_its_side(pdf: bytes) -> bytes:
    import pypdfium2

    with pypdfium2.PdfDocument(pdf) as document:
        page = document[0].render(scale=200 / 72, grayscale=True).to_numpy().squeeze()
    return encoded(np.ascontiguousarray(np.rot90(page)), "PNG")


def test_one_bad_file_among_several_is_named(http: httpx.Client, music: bytes) -> None:
    answer = http.post("/v1/recognize", files=[("file", music), ("file", b"no page"), ("file", music)])
    _check_problem(answer, 422, "File 2 of 3")


def test_a_blank_page_does_not_lose_its_neighbours(http: httpx.Client, music: bytes) -> None:
    blank = WITHOUT_STAVES["blank page"]()
    answer = http.post("/v1/recognize", files=[("file", blank), ("file", music)])
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["message"] == "No staves found on page 1."
    assert [bool(page["systems"]) for page in found["pages"]] == [False, True]


@contextmanager
def _peak_of_the_service(stack: LocalStack) -> Iterator[list[int]]:
    """Yield a list whose only entry becomes the most memory, in bytes, that the service ever held."""
    state = stack.state()
    assert state is not None
    process = state.programs["omr"].process
    assert process is not None
    service = psutil.Process(process.pid)
    peak = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            total = 0
            for each in (service, *service.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += each.memory_full_info().pss
            peak[0] = max(peak[0], total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


@pytest.mark.slow
def test_memory_stays_bounded_whatever_comes(stack: LocalStack, http: httpx.Client, music: bytes) -> None:
    """All of the above at once, and the largest pages that are accepted, never take 1.5 GiB together."""
    largest = np.zeros((10_000, 10_000, 3), np.uint8)
    largest[::40] = 255
    uploads = [make() for make, _, _ in REFUSED.values()] + [make() for make in WITHOUT_STAVES.values()]
    uploads += [encoded(largest, "PNG", compress_level=1), encoded(largest, "JPEG", progressive=True), music]
    del largest

    def send(content: bytes) -> int:
        answer = http.post(
            "/v1/recognize", files={"file": ("page.png", content)}, params={"formats": "overlay"}
        )
        while answer.status_code == 429:
            time.sleep(float(answer.headers["Retry-After"]))
            answer = http.post("/v1/recognize", files={"file": content}, params={"formats": "overlay"})
        return answer.status_code

    with _peak_of_the_service(stack) as peak, ThreadPoolExecutor(6) as callers:
        statuses = list(callers.map(send, uploads))
    assert set(statuses) == {200, 413, 422}
    print(f"the service held {peak[0] / GIB:.2f} GiB at most")
    assert peak[0] < MEMORY_LIMIT_BYTES, f"{peak[0] / GIB:.2f} GiB"
