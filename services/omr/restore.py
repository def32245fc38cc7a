"""Restoring a page: a poor copy in, a clean, straight page in black and white out.

Light is evened (`light`), the staves are brought level (`straighten`), and every pixel becomes ink or paper
by a threshold of its own, after Sauvola & Pietikäinen 2000 (doi:10.1016/S0031-3203(99)00055-2): lower where
the neighbourhood is flat, so that grain stays paper, and following the ink where it is faded. Specks and
pinholes too small to be music go. A page without staves is cleaned but not turned.
"""

from __future__ import annotations

import io
import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.omr.contract import STAFF_SPACE_PX
from services.omr.light import even_light
from services.omr.scans import WORKING_PIXELS, WORKING_SIDE
from services.omr.straighten import GRID_PX, Warp, find_warp

Gray = NDArray[np.uint8]

#: Staff space of a restored page, in px: that of the upload where it lies between these (about 280 to 560 dpi
#: for staves of usual size). Below, soft edges of a small picture give smooth ones in a larger.
_LEAST_SPACE_PX: Final = 20.0
_MOST_SPACE_PX: Final = 40.0

#: Sauvola's k, and the window in staff spaces: wider than a head, so that its inside is not taken for paper.
_K: Final = 0.3
_WINDOW_SPACES: Final = 4.0
#: Greatest standard deviation of a picture of 8 bits.
_MOST_DEVIATION: Final = 128.0
#: Ink is at most so light, and paper at least so dark, on an even page.
_THRESHOLDS: Final = (80.0, 160.0)
#: Specks and pinholes smaller than this, in square staff spaces; a staccato dot has 0.1.
_SPECK_SPACES: Final = 0.05


def restore(gray: Gray) -> bytes:
    """Clean, straighten and binarise a page.

    Args:
        gray: uint8 [h, w], any picture of a page.

    Returns:
        A PNG of one bit a pixel, white paper; at most `scans.WORKING_PIXELS` large.
    """
    even = even_light(gray)
    warp = find_warp(even)
    space_px = _space_px(warp)
    ink = _without_specks(_ink(warp.straighten(even, space_px), space_px), space_px)
    file = io.BytesIO()
    Image.fromarray(ink == 0).save(file, "PNG")
    return file.getvalue()


def _space_px(warp: Warp) -> float:
    """Choose the staff space of the restored page."""
    steps = np.hypot(np.diff(warp.x, axis=1), np.diff(warp.y, axis=1))
    in_upload = STAFF_SPACE_PX * float(np.median(steps)) / GRID_PX
    largest = STAFF_SPACE_PX * min(
        math.sqrt(WORKING_PIXELS / (warp.width * warp.height)), WORKING_SIDE / max(warp.width, warp.height)
    )
    return min(max(in_upload, _LEAST_SPACE_PX), _MOST_SPACE_PX, largest)


def _ink(even: Gray, space_px: float) -> Gray:
    """Tell ink (1) from paper (0): uint8 [h, w]."""
    side = max(3, round(_WINDOW_SPACES * space_px)) | 1
    values = even.astype(np.float32)
    mean = cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE)
    square = cv2.sqrBoxFilter(values, cv2.CV_32F, (side, side), borderType=cv2.BORDER_REPLICATE)
    deviation = np.sqrt(np.maximum(square - mean * mean, 0))
    threshold = mean * (1 + _K * (deviation / _MOST_DEVIATION - 1))
    return (values < threshold.clip(*_THRESHOLDS)).astype(np.uint8)


def _without_specks(ink: Gray, space_px: float) -> Gray:
    """Turn specks of ink to paper, and pinholes in ink to ink."""
    least = max(2, round(_SPECK_SPACES * space_px * space_px))
    for value in (1, 0):
        _, labels, measures, _ = cv2.connectedComponentsWithStats(
            (ink == value).astype(np.uint8), connectivity=8
        )
        small = measures[:, cv2.CC_STAT_AREA] < least
        small[0] = False
        ink = np.where(small[labels], 1 - value, ink).astype(np.uint8)
    return ink
