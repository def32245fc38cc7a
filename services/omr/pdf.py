"""Pages of a PDF as pictures, drawn by PDFium in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.errors import CopyistError, TooLargeError, UnreadableMediaError
from services.native import bare_environment
from services.omr import pdf_drawing
from services.omr.scans import ONE_LARGE_AT_A_TIME, WORKING_PIXELS, WORKING_SIDE

SIGNATURE: Final = b"%PDF-"
#: Readers accept the signature anywhere in so many bytes from the start (ISO 32000-1, annex H).
SIGNATURE_WITHIN: Final = 1024

#: Resolution at which a page of normal size is drawn.
NORMAL_DPI: Final = 300

SEND_IT_WHOLE: Final = (
    "Send the whole file again; if this is all there is, open it in a PDF reader and print its pages to a "
    "new PDF or to pictures."
)
AS_PICTURES: Final = "Print its pages to pictures at 300 dpi and send those."


def count_pages(path: Path) -> int:
    """Count the pages of a PDF.

    Raises:
        UnreadableMediaError: it is encrypted or damaged.
        TooLargeError: opening it takes too much memory or time.
    """
    told, _ = _answer("The PDF", path, "count")
    return int(told["pages"])


def draw(path: Path, index: int, *, colour: bool) -> tuple[NDArray[np.uint8], float]:
    """Draw the page with this index on white paper.

    Returns:
        Gray [h, w] or RGB [h, w, 3], and the pixels to the inch of the paper that the PDF tells of.

    Raises:
        UnreadableMediaError: it is encrypted or damaged.
        TooLargeError: it takes too much memory or time.
    """
    what = f"Page {index + 1} of the PDF"
    mode = "rgb" if colour else "gray"
    told, pixels = _answer(what, path, mode, index, NORMAL_DPI, WORKING_PIXELS, WORKING_SIDE)
    shape = (int(told["height"]), int(told["width"])) + ((3,) if colour else ())
    return np.frombuffer(pixels, np.uint8).reshape(shape).copy(), float(told["dpi"])


def _answer(what: str, path: Path, *arguments: object) -> tuple[dict[str, Any], memoryview]:
    """Run the program that draws: its line of JSON, and what follows it."""
    # Isolated: it needs nothing but the installed packages.
    command = [sys.executable, "-I", pdf_drawing.__file__, str(path), *map(str, arguments)]
    with ONE_LARGE_AT_A_TIME:
        process = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            env=bare_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    if process.returncode == -signal.SIGALRM:
        raise TooLargeError(
            f"{what} takes longer to draw than the limit of {pdf_drawing.LIMIT_S} s.",
            remedy=AS_PICTURES,
        )
    if process.returncode != 0:
        raise UnreadableMediaError(
            f"{what} cannot be drawn: it is damaged, or it takes more memory than the limit of "
            f"{pdf_drawing.MEMORY_BYTES >> 20} MiB.",
            remedy=AS_PICTURES,
        )
    end = process.stdout.index(b"\n")
    told: dict[str, Any] = json.loads(process.stdout[:end])
    if "problem" in told:
        raise _problem(told["problem"], what)
    return told, memoryview(process.stdout)[end + 1 :]


def _problem(problem: str, what: str) -> CopyistError:
    if problem == pdf_drawing.ENCRYPTED:
        return UnreadableMediaError(
            "The PDF is encrypted: it cannot be opened without its password.",
            remedy="Open it with its password, save a copy without one, and send that.",
        )
    if problem == pdf_drawing.MEMORY:
        return TooLargeError(
            f"{what} takes more memory to draw than the limit of {pdf_drawing.MEMORY_BYTES >> 20} MiB.",
            remedy=AS_PICTURES,
        )
    if problem == pdf_drawing.LARGE_IMAGE:
        return TooLargeError(
            f"{what} holds an image of more px than the limit of {pdf_drawing.LARGEST_IMAGE}.",
            remedy=AS_PICTURES,
        )
    return UnreadableMediaError(f"{what} is damaged and cannot be opened.", remedy=SEND_IT_WHOLE)
