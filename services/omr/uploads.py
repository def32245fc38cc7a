"""Uploads as pages: the files of a request in, one gray picture after another out.

    for place in find_pages(paths, PageLimits()):
        page = read_page(place)  # page.image: uint8 [h, w]

Nothing is decoded before the headers of all files have been read and found within the limits; then each page
is read when it is asked for, alone. Pixels of the upload, in which all boxes are told, are those of the
picture as it is shown: after the turn that its note of orientation (EXIF) asks for. A page of a PDF has none
of its own: there they are those of the drawing, at the `dpi` that comes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.errors import TooLargeError, UnreadableMediaError
from services.omr import pdf, scans
from services.omr.page import PreparedPage

FORMATS: Final = "png, jpg, tiff, webp, bmp or pdf"
ANOTHER_FORMAT: Final = f"Send pages as {FORMATS}."

#: What else a file may begin with, and what it is then said to be.
_STRANGERS: Final = (
    (b"GIF8", "a GIF picture"),
    (b"MThd", "a MIDI file, which holds notes already"),
    (b"PK\x03\x04", "a zip archive (compressed MusicXML, or a document of an office program)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"ID3", "a recording"),
    (b"fLaC", "a recording"),
    (b"OggS", "a recording"),
    (b"RIFF", "a recording or a film"),
    (b"8BPS", "a Photoshop file"),
    (b"%!PS", "PostScript"),
    (b"AT&TFORM", "a DjVu document"),
    (b"<", "markup (MusicXML, SVG or HTML)"),
)


@dataclass(frozen=True, slots=True)
class PageLimits:
    """What is accepted in one request.

    Attributes:
        max_pages: most pages, over all files.
        max_page_pixels: most pixels of a picture of a page.
    """

    max_pages: int = 100
    max_page_pixels: int = 100_000_000


@dataclass(frozen=True, slots=True)
class PagePlace:
    """Where a page is to be read from.

    Attributes:
        path: its file.
        file: index of the file among those uploaded, from 0.
        number: of the page in that file, from 1.
        frame: index of the picture or page in the file, previews of others included.
        is_pdf: whether the file is a PDF.
    """

    path: Path
    file: int
    number: int
    frame: int
    is_pdf: bool


@dataclass(frozen=True, slots=True, eq=False)
class PagePicture:
    """A page as a picture.

    Attributes:
        image: uint8 [h, w], 0 is black; reduced where the upload has more than `scans.WORKING_PIXELS`.
        width, height: of the upload, in px; what boxes are told in.
        dpi: of the drawing, for a page of a PDF; None for a picture.
    """

    image: NDArray[np.uint8]
    width: int
    height: int
    dpi: float | None

    def in_upload_px(self, prepared: PreparedPage) -> PreparedPage:
        """Make a page that was prepared from `image` tell its places in px of the upload."""
        height, width = self.image.shape
        x_px, y_px = self.width / width, self.height / height
        return replace(
            prepared,
            upload_size=(self.width, self.height),
            upload_x=(prepared.upload_x + 0.5) * x_px - 0.5,
            upload_y=(prepared.upload_y + 0.5) * y_px - 0.5,
        )


def find_pages(files: Sequence[Path], limits: PageLimits) -> tuple[PagePlace, ...]:
    """List the pages of uploaded files, in order, by the files' headers alone.

    Raises:
        UnreadableMediaError: a file is empty, in an unknown format, encrypted, or its header is damaged.
        TooLargeError: more pages or pixels than the limits allow.
    """
    pages: list[PagePlace] = []
    for index, path in enumerate(files):
        try:
            pages += _pages_of(path, index, limits)
        except (UnreadableMediaError, TooLargeError) as error:
            if len(files) == 1:
                raise
            detail = f"File {index + 1} of {len(files)}: {error.detail}"
            raise type(error)(detail, remedy=error.remedy) from None
        if len(pages) > limits.max_pages:
            raise TooLargeError(
                f"The upload has more pages than the limit of {limits.max_pages} a request "
                f"(COPYIST_MAX_PAGES): it has at least {len(pages)}.",
                remedy="Send fewer pages at once, for instance one movement.",
            )
    return tuple(pages)


def read_page(place: PagePlace) -> PagePicture:
    """Read a page that `find_pages` found, in gray.

    Raises:
        UnreadableMediaError: its data is damaged or cut short.
        TooLargeError: it is a page of a PDF that takes too much memory or time to draw.
    """
    if place.is_pdf:
        image, dpi = pdf.draw(place.path, place.frame, colour=False)
        return PagePicture(image, image.shape[1], image.shape[0], dpi)
    image, (width, height) = scans.read(place.path, place.frame, colour=False)
    return PagePicture(image, width, height, None)


def read_colours(place: PagePlace) -> NDArray[np.uint8]:
    """Read a page in colour: uint8 [h, w, 3], RGB, as large as the gray `image` of `read_page`.

    Raises:
        UnreadableMediaError, TooLargeError: as `read_page`.
    """
    if place.is_pdf:
        return pdf.draw(place.path, place.frame, colour=True)[0]
    return scans.read(place.path, place.frame, colour=True)[0]


def _pages_of(path: Path, index: int, limits: PageLimits) -> list[PagePlace]:
    with path.open("rb") as file:
        head = file.read(pdf.SIGNATURE_WITHIN)
    if not head:
        raise UnreadableMediaError("The file is empty: it has 0 bytes.", remedy=ANOTHER_FORMAT)
    is_pdf = False
    frames: Sequence[int]
    if scans.format_of(head):
        frames = scans.frames_of(path, max_frames=limits.max_pages, max_pixels=limits.max_page_pixels)
    elif pdf.SIGNATURE in head:
        is_pdf, frames = True, range(pdf.count_pages(path))
    else:
        guess = _guess(head)
        raise UnreadableMediaError(
            f"The file is no picture of a page: it seems to be {guess}."
            if guess
            else "The file is in no format of pictures or documents that is known, or its start is damaged.",
            remedy=ANOTHER_FORMAT,
        )
    return [PagePlace(path, index, number, frame, is_pdf) for number, frame in enumerate(frames, start=1)]


def _guess(head: bytes) -> str:
    """Say in a few words what a file that is no page seems to be; empty where nothing can be said."""
    for signature, name in _STRANGERS:
        if head.lstrip().startswith(signature):
            return name
    if head[4:8] == b"ftyp":
        still = head[8:12] in (b"heic", b"heix", b"mif1", b"avif")
        return "a HEIC or AVIF picture" if still else "a film or a recording"
    if not head.strip(b"\0"):
        return "nothing but zero bytes"
    try:
        head[:1000].decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return "plain text"
