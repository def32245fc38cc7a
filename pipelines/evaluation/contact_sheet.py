"""Contact sheets: many pages small, side by side, each with a line that says what it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_CAPTION_PX: Final = 28
_GAP_PX: Final = 6


def write_sheets(
    pages: Sequence[tuple[str, bytes]], stem: Path, columns: int = 4, rows: int = 2, width_px: int = 760
) -> list[Path]:
    """Write as many sheets as are needed, `STEM-1.png` and so on; answers their paths.

    Args:
        pages: caption (ASCII) and encoded picture of each.
        stem: where to.
        columns, rows: of a sheet.
        width_px: of a page on it.
    """
    paths = []
    for number, start in enumerate(range(0, len(pages), columns * rows), start=1):
        part = [_captioned(caption, png, width_px) for caption, png in pages[start : start + columns * rows]]
        path = stem.with_name(f"{stem.name}-{number}.png")
        cv2.imwrite(str(path), _grid(part, columns))
        paths.append(path)
    return paths


def _captioned(caption: str, png: bytes, width_px: int) -> NDArray[np.uint8]:
    page = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    height = round(page.shape[0] * width_px / page.shape[1])
    small = cv2.resize(page, (width_px, height), interpolation=cv2.INTER_AREA)
    strip = np.full((_CAPTION_PX, width_px, 3), 230, np.uint8)
    cv2.putText(strip, caption, (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate((strip, small))


def _grid(pages: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Rows of pages of one width, each row as high as its highest page."""
    rows = [pages[start : start + columns] for start in range(0, len(pages), columns)]
    heights = [max(page.shape[0] for page in row) + _GAP_PX for row in rows]
    step = pages[0].shape[1] + _GAP_PX
    sheet = np.full((sum(heights), step * min(columns, len(pages)), 3), 128, np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, page in enumerate(row):
            sheet[top : top + page.shape[0], column * step : column * step + page.shape[1]] = page
        top += height
    return sheet
