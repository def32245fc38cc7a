"""Pictures of pages (PNG, JPEG, TIFF, WebP, BMP), read within bounded memory.

Headers are read first and sizes refused by them, so that a decompression bomb is never decoded. What is
larger than `WORKING_PIXELS` is reduced by averaging while it is read: JPEG inside of its decoder (the lower
frequencies of its cosine transform are a smaller picture), the others in bands of rows.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from services.errors import CopyistError, TooLargeError, UnreadableMediaError

#: Largest picture that the steps after this one are given; A3 at 288 dpi.
WORKING_PIXELS: Final = 16_000_000
#: OpenCV maps no picture whose side reaches 32,768 px.
WORKING_SIDE: Final = 16_000

#: libwebp holds three copies of a picture while it decodes it; A4 at 600 dpi has 35 million pixels.
WEBP_PIXELS: Final = 40_000_000

#: The only decoders that an upload may use, and what their signatures are.
SIGNATURES: Final = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "WEBP": (b"RIFF",),
    "BMP": (b"BM",),
}
SEND_IT_WHOLE: Final = (
    "Send the whole file again; if this is all there is, open it in an image program and save it as PNG."
)
SMALLER: Final = "Scan or save it at 300 dpi, in gray or in black and white."

#: Held while something is read that may take much memory for a moment (up to 0.85 GB: a picture of more than
#: `_LARGE_PIXELS`, any PDF), so that a process does so once at a time, however many requests it serves.
ONE_LARGE_AT_A_TIME: Final = threading.Lock()
_LARGE_PIXELS: Final = 20_000_000
_BAND_PIXELS: Final = 4_000_000
#: Most scans of a progressive JPEG; encoders make about ten. Each costs a pass over the whole picture, for
#: however few bytes.
_MAX_JPEG_SCANS: Final = 100
_JPEG_START_OF_SCAN: Final = b"\xff\xda"
_REDUCED_RESOLUTION: Final = 1  # bit of TIFF's tag NewSubfileType: a preview of another frame
_NEW_SUBFILE_TYPE: Final = 254

# Sizes are refused by ourselves, by the operator's limit and with a message that names it.
Image.MAX_IMAGE_PIXELS = None


def _silence_libtiff() -> None:
    """Keep libtiff from writing a line about every damaged strip to the process's standard error."""
    mapped = Path("/proc/self/maps").read_text().splitlines()
    for path in {line.split(maxsplit=5)[5] for line in mapped if "libtiff" in line}:
        ctypes.CDLL(path).TIFFSetErrorHandler(None)


_silence_libtiff()


def format_of(head: bytes) -> str | None:
    """Tell Pillow's name of a picture's format by its first bytes (12 suffice); None where it is none."""
    for name, signatures in SIGNATURES.items():
        if head.startswith(signatures) and (name != "WEBP" or head[8:12] == b"WEBP"):
            return name
    return None


def frames_of(path: Path, *, max_frames: int, max_pixels: int) -> tuple[int, ...]:
    """List the frames of a picture file that are pages, by its headers alone.

    Args:
        path: the file, in a format of SIGNATURES.
        max_frames: how many to list at most; the answer may hold one more, which says that there are more.
        max_pixels: the largest accepted picture.

    Raises:
        UnreadableMediaError: a header is damaged.
        TooLargeError: a picture is larger than `max_pixels`.
    """
    with _opened(path) as image:
        if image.format == "JPEG":
            _check_scans(path)
        frames = []
        for frame in range(_frames_at_most(image, max_frames + 1)):
            image.seek(frame)
            if not _is_preview(image):
                _check_size(image, max_pixels)
                frames.append(frame)
        if image.format == "PNG":
            # Its checksums, without decoding: the decoder itself would make noise of most damage.
            image.verify()
        return tuple(frames)


def read(path: Path, frame: int, *, colour: bool) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Decode a frame, the right way up, reduced to at most WORKING_PIXELS.

    Transparent pixels become white, as paper is. Orientation follows the file's own note (EXIF).

    Args:
        path: the file; its headers have passed `frames_of`.
        frame: index in the file.
        colour: whether to give RGB [h, w, 3] rather than gray [h, w].

    Returns:
        The picture, and the width and height in px of the whole one (as its note of orientation has it).

    Raises:
        UnreadableMediaError: the data is damaged or cut short.
    """
    with _opened(path) as image:
        image.seek(frame)
        with ONE_LARGE_AT_A_TIME if image.width * image.height > _LARGE_PIXELS else nullcontext():
            return _decoded(image, colour=colour)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture, and tell whatever its decoder says of it as an UnreadableMediaError."""
    kind = "picture"
    try:
        # Opened by ourselves: a raw TIFF that Pillow opens is mapped into memory, and then turned wrongly.
        with path.open("rb") as file, Image.open(file, formats=list(SIGNATURES)) as image:
            kind = image.format or kind
            yield image
    except CopyistError:
        raise
    except Exception as error:  # a decoder that is fed with damaged data may raise anything
        raise UnreadableMediaError(
            f"The {kind} is damaged or cut short: {_reason(error)}.", remedy=SEND_IT_WHOLE
        ) from None


def _reason(error: Exception) -> str:
    """Say a decoder's complaint in its own words, but without what it says of our objects."""
    if isinstance(error, UnidentifiedImageError) or not str(error):
        return "its header cannot be read"
    return str(error).partition("\n")[0].rstrip(".")[:120]


def _frames_at_most(image: Image.Image, enough: int) -> int:
    if image.format != "TIFF":
        return 1
    for frame in range(1, enough):
        try:
            image.seek(frame)
        except EOFError:
            return frame
    return enough


def _is_preview(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {})
    return bool(int(tags.get(_NEW_SUBFILE_TYPE, 0)) & _REDUCED_RESOLUTION)


def _check_size(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise TooLargeError(
            f"The picture has {image.width} x {image.height} px, more than the limit of {max_pixels} px a "
            "page (COPYIST_MAX_PAGE_PIXELS).",
            remedy=SMALLER,
        )
    if image.format == "WEBP" and image.width * image.height > WEBP_PIXELS:
        raise TooLargeError(
            f"The picture has {image.width} x {image.height} px, more than the limit of {WEBP_PIXELS} px for "
            "WebP, which takes more memory to read than other formats.",
            remedy="Send it as PNG or JPEG, or smaller.",
        )


def _check_scans(path: Path) -> None:
    if path.read_bytes().count(_JPEG_START_OF_SCAN) > _MAX_JPEG_SCANS:
        raise TooLargeError(
            f"The JPEG is made of more scans than the limit of {_MAX_JPEG_SCANS}.",
            remedy="Open it in an image program and save it as PNG.",
        )


def _decoded(image: Image.Image, *, colour: bool) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    orientation = _orientation(image)
    whole = image.size
    target = working_size(*whole)
    if image.format == "JPEG":
        image.draft("RGB" if colour else "L", target)
    image.load()
    if image.format == "TIFF":
        # Pillow turns TIFF itself while it loads.
        orientation, whole = 1, image.size
        target = working_size(*whole)
    picture = _reduced(image, target, colour=colour)
    if orientation >= 5:
        whole = whole[1], whole[0]
    return _turned(picture, orientation), whole


def working_size(width: int, height: int) -> tuple[int, int]:
    """Tell the width and height at which a picture is worked on: its own unless it is very large."""
    factor = max(1.0, math.sqrt(width * height / WORKING_PIXELS), max(width, height) / WORKING_SIDE)
    return max(1, int(width / factor)), max(1, int(height / factor))


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation, 1 to 8; 1 where there is none, or none that can be read."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # notes about a picture are no reason to refuse the picture
        return 1
    return value if isinstance(value, int) and value in range(1, 9) else 1


def _turned(picture: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn a picture as EXIF's orientation asks (CIPA DC-008, tag 0x0112)."""
    if orientation >= 5:
        picture = picture.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    return np.ascontiguousarray(picture)


def _reduced(image: Image.Image, target: tuple[int, int], *, colour: bool) -> NDArray[np.uint8]:
    """Average a decoded picture down to `target` (width, height), band by band."""
    width, height = image.size
    factor = max(1, min(width // target[0], height // target[1]))
    rows = max(1, _BAND_PIXELS // (width * factor)) * factor
    spread = _spread(image)
    bands = []
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        band = _on_paper(band, spread).convert("RGB" if colour else "L")
        bands.append(np.asarray(band.reduce(factor) if factor > 1 else band))
    picture = np.concatenate(bands) if len(bands) > 1 else bands[0]
    if (picture.shape[1], picture.shape[0]) != target:
        return np.asarray(cv2.resize(picture, target, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.ascontiguousarray(picture)


def _spread(image: Image.Image) -> tuple[float, float] | None:
    """Tell which values of a picture of more than 8 bits are black and white; None for the others."""
    if not image.mode.startswith(("I", "F")):
        return None
    if image.mode.startswith("I;16"):
        return 0.0, 65_535.0
    extrema = image.getextrema()
    low, high = float(extrema[0]), float(extrema[1])  # type: ignore[arg-type]  # one band has two numbers
    if not math.isfinite(low) or not math.isfinite(high):
        raise UnreadableMediaError(
            "The picture holds values that are not numbers.", remedy="Save it as an 8-bit PNG."
        )
    whites = (white for white in (1.0, 255.0, 65_535.0) if high <= white)
    return min(low, 0.0), next(whites, high)


def _on_paper(band: Image.Image, spread: tuple[float, float] | None) -> Image.Image:
    """Bring a band to a mode that converts to gray and RGB as it looks on white paper."""
    if spread is not None:
        black, white = spread
        values = (np.asarray(band).astype(np.float32) - black) * (255.0 / (white - black))
        return Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if band.has_transparency_data:
        band = band.convert("RGBA")
        paper = Image.new("RGBA", band.size, "white")
        paper.alpha_composite(band)
        return paper
    return band
