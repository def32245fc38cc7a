"""Damaged and hostile uploads: nothing but a CopyistError may come of them, soon and in bounded memory."""

from __future__ import annotations

import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from services.errors import CopyistError, TooLargeError
from services.omr.uploads import PageLimits, find_pages, read_colours, read_page
from services.triton.environment import REPOSITORY_ROOT
from tests.omr.uploads import encoded, pdf_of, pdf_with_image, png_that_claims, tiff_of

PICTURE = np.random.default_rng(0).integers(0, 256, (48, 64), dtype=np.uint8)
RASTERS = [
    *(encoded(PICTURE, kind) for kind in ("PNG", "JPEG", "WEBP", "BMP")),
    encoded(PICTURE, "JPEG", progressive=True),
    *(
        tiff_of([Image.fromarray(PICTURE > 99), Image.fromarray(PICTURE)], compression=compression)
        for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits")
    ),
    tiff_of([Image.fromarray(PICTURE > 99)], compression="group4"),
]
PDFS = [
    pdf_of([b"0 0 100 100 re f", b"BT ET"]),
    pdf_with_image(64, 48, zlib.compress(PICTURE.tobytes()), entries="/Filter /FlateDecode"),
    pdf_with_image(64, 48, RASTERS[1], entries="/Filter /DCTDecode"),
]


@st.composite
def mutations(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """Give a file with some bytes changed, and perhaps cut, doubled or moved in part."""
    content = bytearray(draw(st.sampled_from(originals)))
    # The headers, where most can go wrong, lie at the start of all formats but the end of TIFF and PDF.
    near_an_end = st.one_of(st.integers(0, 200), st.integers(-200, -1), st.integers(0, len(content) - 1))
    for position in draw(st.lists(near_an_end, max_size=8)):
        content[position % len(content)] = draw(
            st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, draw(st.integers(0, 255))])
        )
    if draw(st.booleans()):
        start, end = sorted(draw(st.tuples(st.integers(0, len(content)), st.integers(0, len(content)))))
        content = content[:start] + content[start:end] * draw(st.integers(0, 2)) + content[end:]
    return bytes(content)


def read_all(path: Path, content: bytes, limits: PageLimits) -> None:
    """Read all pages of an upload; a CopyistError, and nothing else, may stop it."""
    path.write_bytes(content)
    try:
        for place in find_pages([path], limits):
            page = read_page(place)
            assert page.image.ndim == 2
            assert min(page.image.shape) > 0
            assert read_colours(place).shape == (*page.image.shape, 3)
    except CopyistError as error:
        assert error.status in (413, 422), error
        assert error.remedy


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations(RASTERS))
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about notes that it cannot read
def test_damaged_pictures(tmp_path: Path, content: bytes) -> None:
    read_all(tmp_path / "upload", content, PageLimits(max_pages=5, max_page_pixels=1_000_000))


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutations(PDFS))
def test_damaged_pdfs(tmp_path: Path, content: bytes) -> None:
    read_all(tmp_path / "upload", content, PageLimits(max_pages=5))


def bomb(size: int) -> bytes:
    """Compress that many megabytes of zero bytes."""
    deflate = zlib.compressobj(9)
    return b"".join(deflate.compress(bytes(1 << 20)) for _ in range(size)) + deflate.flush()


def _content_bomb() -> bytes:
    squeezed = zlib.compress(b"q " * 1_000_000 + b"0 0 9 9 re f " * 10_000_000, 9)
    page = pdf_of([squeezed])
    return page.replace(
        b"<< /Length %d >>" % len(squeezed), b"<< /Filter /FlateDecode /Length %d >>" % len(squeezed)
    )


#: Each within the limits that headers tell of, and still asking for very much; and what must come of it.
HOSTILE_PDFS: dict[str, Callable[[], bytes]] = {
    "image of 30,000 by 30,000": lambda: pdf_with_image(
        30_000, 30_000, bomb(858), entries="/Filter /FlateDecode"
    ),
    "image of 60,000 by 60,000 without data": lambda: pdf_with_image(60_000, 60_000, b""),
    "stream that inflates to gigabytes": lambda: pdf_with_image(
        100, 100, zlib.compress(bomb(1024)), entries="/Filter [/FlateDecode /FlateDecode]"
    ),
    "endless drawing": _content_bomb,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE_PDFS)
def test_hostile_pdfs_end_soon(tmp_path: Path, kind: str) -> None:
    started = time.monotonic()
    read_all(tmp_path / "upload.pdf", HOSTILE_PDFS[kind](), PageLimits())
    assert time.monotonic() - started < 70


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_that_claims(30_000, 30_000, rows=30_000))
    started = time.process_time()
    with pytest.raises(TooLargeError, match="COPYIST_MAX_PAGE_PIXELS"):
        find_pages([path], PageLimits())
    assert time.process_time() - started < 0.5


PEAK_SCRIPT = """
import resource, sys
from pathlib import Path
from services.omr.uploads import PageLimits, find_pages, read_colours, read_page
(place,) = find_pages([Path(sys.argv[1])], PageLimits())
read_page(place)
read_colours(place)
# Not getrusage: its figure for this process may still be that of the process that started it.
own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(max(int(own.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) >> 10)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "PDF"])
def test_the_largest_accepted_pages_stay_within_a_gigabyte(tmp_path: Path, kind: str) -> None:
    page = np.zeros((10_000, 10_000, 3), np.uint8)
    page[::50] = 255
    if kind == "PDF":
        data = zlib.compress(page[:, :, 0].tobytes(), 1)
        content = pdf_with_image(10_000, 10_000, data, entries="/Filter /FlateDecode")
    else:
        content = encoded(page, kind)
    path = tmp_path / "page"
    path.write_bytes(content)
    del page, content
    peak = subprocess.run(
        [sys.executable, "-c", PEAK_SCRIPT, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY_ROOT,
    )
    assert int(peak.stdout) < 1000
