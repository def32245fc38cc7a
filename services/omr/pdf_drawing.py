"""The program that draws the pages of one PDF, in a process of its own.

PDFium draws whatever a file asks for: a few hundred bytes can ask for gigabytes or for hours, and a damaged
file can crash it. Here it may do that without harm: memory and time are limited by the kernel.

    python pdf_drawing.py FILE count
    python pdf_drawing.py FILE gray|rgb PAGE NORMAL_DPI MAX_PIXELS MAX_SIDE

Standard output begins with one line of JSON: the number of pages for `count`; else the width, height and dpi
of the page with index PAGE, and then come its pixels row by row, one byte or three each. Or it is one line
with a `problem`. The program imports nothing of Copyist, so as to start fast.
"""

from __future__ import annotations

import json
import math
import resource
import signal
import sys
from typing import Final

import pypdfium2
import pypdfium2.raw as pdfium

MEMORY_BYTES: Final = 640 << 20
#: Seconds that opening the file and drawing a page may take.
LIMIT_S: Final = 30

POINTS_PER_INCH: Final = 72
#: A scan inside of a PDF is drawn at its own resolution up to this size (A4 at 300 dpi), however small the
#: paper is that the PDF claims.
SCAN_PIXELS: Final = 8_700_000
#: Images up to this size can be drawn within MEMORY_BYTES, whatever their colours and compression. Of a
#: larger one PDFium would silently draw nothing.
LARGEST_IMAGE: Final = 150_000_000

ENCRYPTED: Final = "encrypted"
DAMAGED: Final = "damaged"
MEMORY: Final = "memory"
LARGE_IMAGE: Final = "large image"


class _LargeImageError(Exception):
    """An image on the page is larger than LARGEST_IMAGE."""


def main(path: str, mode: str, *drawing: str) -> None:
    """Answer one request."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The kernel ends the process when the time is up, whatever PDFium is doing.
    signal.alarm(LIMIT_S)
    try:
        document = pypdfium2.PdfDocument(path)
        if mode == "count":
            _tell(pages=len(document))
        else:
            page, normal_dpi, max_pixels, max_side = drawing
            _draw(document[int(page)], mode, float(normal_dpi), int(max_pixels), int(max_side))
    except pypdfium2.PdfiumError as error:
        encrypted = error.err_code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY)
        _tell(problem=ENCRYPTED if encrypted else DAMAGED)
    except _LargeImageError:
        _tell(problem=LARGE_IMAGE)
    except MemoryError:
        _tell(problem=MEMORY)


def _draw(page: pypdfium2.PdfPage, mode: str, normal_dpi: float, max_pixels: int, max_side: int) -> None:
    width, height = (max(1.0, side) for side in page.get_size())
    scale = max(normal_dpi / POINTS_PER_INCH, _scan_scale(page, width, height))
    # A hair less than the limits, as sides are rounded up.
    scale = min(scale, 0.999 * math.sqrt(max_pixels / (width * height)), (max_side - 1) / max(width, height))
    bitmap = page.render(
        scale=scale, grayscale=mode == "gray", rev_byteorder=mode == "rgb", may_draw_forms=False
    )
    _tell(width=bitmap.width, height=bitmap.height, dpi=scale * POINTS_PER_INCH)
    row = bitmap.width * bitmap.n_channels
    pixels = memoryview(bitmap.buffer).cast("B")
    for start in range(0, bitmap.height * bitmap.stride, bitmap.stride):
        sys.stdout.buffer.write(pixels[start : start + row])


def _scan_scale(page: pypdfium2.PdfPage, width: float, height: float) -> float:
    """Tell the scale at which a scan that fills the page keeps its pixels; 0 where there is none."""
    scale = 0.0
    for image in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE]):
        columns, rows = image.get_px_size()
        if columns * rows > LARGEST_IMAGE:
            raise _LargeImageError
        left, bottom, right, top = image.get_bounds()
        if (right - left) * (top - bottom) > 0.5 * width * height:
            density = columns * rows / ((right - left) * (top - bottom))
            scale = max(scale, math.sqrt(min(density, SCAN_PIXELS / (width * height))))
    return scale


def _tell(**values: object) -> None:
    sys.stdout.buffer.write(json.dumps(values).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
