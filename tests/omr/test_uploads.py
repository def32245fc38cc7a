"""Uploads as pages: formats, sizes and turns that are read, and all that is refused, with its reason."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from services.errors import CopyistError, TooLargeError, UnreadableMediaError
from services.omr import scans
from services.omr.page import PreparedPage
from services.omr.uploads import PageLimits, PagePicture, find_pages, read_colours, read_page
from tests.omr.uploads import encoded, pdf_of, pdf_with_image, png_that_claims, tiff_of

LIMITS = PageLimits(max_pages=20, max_page_pixels=4_000_000)

#: 40 rows of 60 px, each of its own brightness; the upper left corner is black.
GRAY = np.add.outer(np.arange(40) * 2, np.arange(60) * 2).astype(np.uint8) + 30
GRAY[:8, :8] = 0
RGB = np.stack([GRAY, GRAY // 2, 255 - GRAY], axis=-1)


def pages_of(tmp_path: Path, *contents: bytes, limits: PageLimits = LIMITS) -> list[PagePicture]:
    paths = []
    for index, content in enumerate(contents):
        paths.append(tmp_path / f"upload-{index}")
        paths[-1].write_bytes(content)
    return [read_page(place) for place in find_pages(paths, limits)]


def image_of(tmp_path: Path, content: bytes, limits: PageLimits = LIMITS) -> NDArray[np.uint8]:
    (page,) = pages_of(tmp_path, content, limits=limits)
    assert page.image.dtype == np.uint8
    return page.image


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_lossless_formats_give_their_pixels(tmp_path: Path, kind: str) -> None:
    assert np.array_equal(image_of(tmp_path, encoded(GRAY, kind)), GRAY)


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"lossless": True})])
def test_other_formats_give_nearly_their_pixels(
    tmp_path: Path, kind: str, options: dict[str, object]
) -> None:
    smooth = np.add.outer(np.arange(40) * 2, np.arange(60) * 2).astype(np.uint8)
    assert np.abs(image_of(tmp_path, encoded(smooth, kind, **options)).astype(int) - smooth).max() <= 2


@pytest.mark.parametrize(
    "compression", [None, "group3", "group4", "packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg"]
)
def test_compressions_of_tiff(tmp_path: Path, compression: str | None) -> None:
    bilevel = compression in ("group3", "group4")
    picture = Image.fromarray(GRAY > 100) if bilevel else Image.fromarray(GRAY)
    image = image_of(tmp_path, tiff_of([picture], compression=compression))
    expected = np.where(GRAY > 100, 255, 0) if bilevel else GRAY
    assert np.abs(image.astype(int) - expected).max() <= (30 if compression == "jpeg" else 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "I;16", "I", "F"])
def test_modes_of_colour(tmp_path: Path, mode: str) -> None:
    expected = np.where(GRAY > 100, 255, 0) if mode == "1" else GRAY
    if mode == "1":
        picture = Image.fromarray(GRAY > 100)
    elif mode in ("I;16", "I"):
        picture = Image.fromarray(
            (GRAY.astype(np.uint16) * 257).astype(np.int32 if mode == "I" else np.uint16)
        )
    elif mode == "F":
        picture = Image.fromarray(GRAY.astype(np.float32) / 255)
    else:
        picture = Image.fromarray(GRAY).convert(mode)
    image = image_of(tmp_path, tiff_of([picture]))
    assert np.abs(image.astype(int) - expected).max() <= 3


@pytest.mark.parametrize("bits", [8, 16])
def test_sixteen_bit_png(tmp_path: Path, bits: int) -> None:
    picture = GRAY if bits == 8 else GRAY.astype(np.uint16) * 257
    assert np.abs(image_of(tmp_path, encoded(picture, "PNG")).astype(int) - GRAY).max() <= 1


def test_transparency_lies_on_white_paper(tmp_path: Path) -> None:
    ink = np.zeros((40, 60, 4), np.uint8)
    ink[10:20, 10:20, 3] = 255
    image = image_of(tmp_path, encoded(ink, "PNG"))
    assert (image[10:20, 10:20] == 0).all()
    assert (image[25:, 25:] == 255).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_note_of_orientation_is_followed(tmp_path: Path, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    (page,) = pages_of(tmp_path, encoded(GRAY, kind, exif=exif))
    # Where the stored first row and column are seen, by CIPA DC-008.
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert (page.width, page.height) == ((60, 40) if orientation < 5 else (40, 60))
    assert page.image.shape == (page.height, page.width)
    corners = {(y, x): int(page.image[y, x]) for y in (0, -1) for x in (0, -1)}
    assert min(corners, key=corners.__getitem__) == corner[orientation]


def test_pages_come_in_order_over_files(tmp_path: Path) -> None:
    pictures = [Image.fromarray(np.full((10, 10 + index), index, np.uint8)) for index in range(3)]
    pdf = pdf_of([b"", b"0 0 595 842 re f"])
    paths = []
    for index, content in enumerate((tiff_of(pictures), encoded(GRAY, "PNG"), pdf)):
        paths.append(tmp_path / str(index))
        paths[-1].write_bytes(content)
    places = find_pages(paths, LIMITS)
    assert [(place.file, place.number) for place in places] == [
        (0, 1),
        (0, 2),
        (0, 3),
        (1, 1),
        (2, 1),
        (2, 2),
    ]
    pages = [read_page(place) for place in places]
    assert [page.width for page in pages] == [10, 11, 12, 60, 2480, 2480]
    assert [round(page.image.mean()) for page in pages[-2:]] == [255, 0]


def test_previews_in_a_tiff_are_no_pages(tmp_path: Path) -> None:
    preview = Image.fromarray(GRAY[::4, ::4])
    preview.encoderinfo = {"tiffinfo": {254: 1}}
    image = image_of(tmp_path, tiff_of([Image.fromarray(GRAY), preview]))
    assert image.shape == GRAY.shape


def test_colours_are_as_large_as_the_gray_picture(tmp_path: Path) -> None:
    contents = encoded(RGB, "PNG"), pdf_of([b"1 0 0 rg 0 0 595 842 re f"])
    for index, content in enumerate(contents):
        path = tmp_path / str(index)
        path.write_bytes(content)
        (place,) = find_pages([path], LIMITS)
        colours = read_colours(place)
        assert colours.shape == (*read_page(place).image.shape, 3)
        if index == 0:
            assert np.array_equal(colours, RGB)
        else:
            assert (colours == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_huge_picture_is_reduced_and_tells_the_px_of_the_upload(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scans, "WORKING_PIXELS", 10_000)
    monkeypatch.setattr(scans, "_BAND_PIXELS", 5_000)
    picture = np.full((400, 700), 255, np.uint8)
    picture[200:210, 300:320] = 0
    (page,) = pages_of(tmp_path, encoded(picture, kind))
    assert (page.width, page.height) == (700, 400)
    assert page.image.size <= 10_000
    y, x = np.nonzero(page.image < 200)
    grid = np.array([[x.mean()]]), np.array([[y.mean()]])
    prepared = PreparedPage(page.image, (page.image.shape[1], page.image.shape[0]), 1.0, *grid)
    in_upload = page.in_upload_px(prepared)
    assert in_upload.upload_size == (700, 400)
    assert in_upload.upload_x[0, 0] == pytest.approx(309.5, abs=3)
    assert in_upload.upload_y[0, 0] == pytest.approx(204.5, abs=3)


def test_very_long_pictures_keep_below_opencv_s_limit() -> None:
    assert scans.working_size(1_000_000, 1) == (scans.WORKING_SIDE, 1)
    assert scans.working_size(2480, 3508) == (2480, 3508)


def test_a_page_of_one_pixel_is_a_page(tmp_path: Path) -> None:
    assert image_of(tmp_path, encoded(np.zeros((1, 1), np.uint8), "PNG")).shape == (1, 1)


@pytest.mark.parametrize(
    ("size", "expected", "dpi"),
    [
        ((595, 842), (2480, 3509), 300),
        ((842, 595), (3509, 2480), 300),
        ((14_400, 14_400), (4000, 4000), 20),
        ((14_400, 3), (16_000, 4), 80),
    ],
)
def test_resolution_of_a_pdf(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int], dpi: float
) -> None:
    (page,) = pages_of(tmp_path, pdf_of([b""], size=size))
    assert (page.width, page.height) == pytest.approx(expected, rel=0.001, abs=1)
    assert page.dpi == pytest.approx(dpi, rel=0.01)
    assert (page.image == 255).all()


def test_a_scan_on_small_paper_keeps_its_pixels(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1200, 900), dtype=np.uint8)
    data = zlib.compress(picture.tobytes())
    (page,) = pages_of(
        tmp_path, pdf_with_image(900, 1200, data, size=(90, 120), entries="/Filter /FlateDecode")
    )
    assert (page.width, page.height) == pytest.approx((900, 1200), abs=1)


def test_a_turned_page_of_a_pdf_is_turned(tmp_path: Path) -> None:
    image = image_of(tmp_path, pdf_of([b"0 0 300 842 re f"], extra="/Rotate 90"))
    assert image.shape == (2480, 3509)
    assert image[:1000].mean() < 5
    assert image[1500:].mean() == 255


WHOLE_PNG = encoded(np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8), "PNG")
WHOLE_JPEG = encoded(np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8), "JPEG")


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"", UnreadableMediaError, "0 bytes"),
        (b"no music at all", UnreadableMediaError, "plain text"),
        (b"<score-partwise/>", UnreadableMediaError, "MusicXML"),
        (b"\0\0\0\x18ftypheic" + bytes(50), UnreadableMediaError, "HEIC"),
        (bytes(1000), UnreadableMediaError, "zero bytes"),
        (np.random.default_rng(1).bytes(1000), UnreadableMediaError, "no format"),
        (WHOLE_PNG[: len(WHOLE_PNG) // 2], UnreadableMediaError, "cut short"),
        (WHOLE_JPEG[: len(WHOLE_JPEG) // 2], UnreadableMediaError, "cut short"),
        (WHOLE_PNG[:200] + bytes(400) + WHOLE_PNG[600:], UnreadableMediaError, "damaged"),
        (WHOLE_PNG[:20], UnreadableMediaError, "cut short"),
        (png_that_claims(30_000, 30_000), TooLargeError, "30000 x 30000"),
        (png_that_claims(0, 10), UnreadableMediaError, "header"),
        (WHOLE_JPEG + b"\xff\xda" * 101, TooLargeError, "limit of 100"),
        (pdf_of([b""] * 21), TooLargeError, "limit of 20"),
        (tiff_of([Image.fromarray(GRAY)] * 21), TooLargeError, "limit of 20"),
        (pdf_of([b""], encrypt=True), UnreadableMediaError, "encrypted"),
        (b"%PDF-1.7\nnothing else", UnreadableMediaError, "damaged"),
        (pdf_of([b""])[:200], UnreadableMediaError, "damaged"),
    ],
)
def test_what_is_refused_and_why(
    tmp_path: Path, content: bytes, kind: type[CopyistError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        pages_of(tmp_path, content)
    assert words in caught.value.detail
    assert caught.value.remedy


def test_of_several_files_the_bad_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMediaError, match=r"File 2 of 3: .*plain text"):
        pages_of(tmp_path, WHOLE_PNG, b"text", WHOLE_PNG)
    with pytest.raises(TooLargeError, match="limit of 20 a request"):
        pages_of(tmp_path, pdf_of([b""] * 11), pdf_of([b""] * 11))
