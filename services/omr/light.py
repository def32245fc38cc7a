"""Even light: whatever the lamp, the scanner and the years did, paper becomes white and ink black.

The paper's brightness is estimated as a closing of the picture (a maximum, then a minimum, over a window
wider than any ink), which is the usual model of a shaded document, and divided out. One curve for the whole
page then brings the paper to 255 and the ink to 0. The curve is straight between the two: soft edges, which
tell where a line lies to a fraction of a pixel, stay soft.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]

#: Longer side of the small picture on which the paper's brightness is estimated.
_SMALL_SIDE: Final = 512
#: Window of the closing on it: 3 % of the page, wider than beams, clefs and lines of text are high.
_WINDOW: Final = 15
#: Darkest paper, as a share of the brightest: what is darker is no paper (a table, or the black
#: beside a scanned book) and stays dark.
_DARKEST_PAPER: Final = 0.4
#: The lightest ink that is brought to black, 0 to 255 on even paper; anything fainter shines through from the
#: back of the page.
_LIGHTEST_INK: Final = 150
#: The darkest share of the ink's pixels, the insides of heads and beams, becomes black, and all but the
#: darkest share of the paper's, where its grain is, becomes white.
_INK_QUANTILE: Final = 0.1
_PAPER_QUANTILE: Final = 0.1
#: A page whose median is below this may be light on dark.
_DARK_MEDIAN: Final = 110
_SAMPLE_EVERY: Final = 3


def even_light(gray: Gray) -> Gray:
    """Even the light of a page.

    Args:
        gray: uint8 [h, w]; dark ink on lighter paper, or a negative of it.

    Returns:
        uint8 [h, w]: paper 255, ink 0, and what lies between in proportion.
    """
    positive = _positive(gray)
    paper = _paper(positive)
    even = _uint8(cv2.divide(positive, paper, scale=255))
    return _uint8(cv2.LUT(even, _curve(even, paper)))


def unevenness(gray: Gray) -> float:
    """Tell how much darker the paper of a page is where it is darkest, 0 (even) to 1."""
    small = _uint8(cv2.resize(gray, _small_size(gray, _SMALL_SIDE), interpolation=cv2.INTER_AREA))
    dark, light = np.percentile(_paper(_positive(small)), (5, 95))
    return float(1 - dark / light)


def _positive(gray: Gray) -> Gray:
    """Turn a negative (thin light strokes on a dark ground) into a positive."""
    small = _uint8(cv2.resize(gray, _small_size(gray, 2 * _SMALL_SIDE), interpolation=cv2.INTER_AREA))
    if np.median(small) >= _DARK_MEDIAN:
        return gray
    window = np.ones((5, 5), np.uint8)
    light_strokes = float(cv2.morphologyEx(small, cv2.MORPH_TOPHAT, window).mean())
    dark_strokes = float(cv2.morphologyEx(small, cv2.MORPH_BLACKHAT, window).mean())
    return _uint8(255 - gray) if light_strokes > 2 * dark_strokes else gray


def _paper(gray: Gray) -> Gray:
    """Estimate the brightness that blank paper would have at every pixel: uint8 [h, w], at least 1."""
    small = cv2.resize(gray, _small_size(gray, _SMALL_SIDE), interpolation=cv2.INTER_AREA)
    # The median takes single bright specks away, which a maximum would spread.
    small = cv2.medianBlur(small, 3)
    closed = cv2.morphologyEx(
        small, cv2.MORPH_CLOSE, np.ones((_WINDOW, _WINDOW), np.uint8), borderType=cv2.BORDER_REPLICATE
    )
    smooth = cv2.GaussianBlur(closed, (0, 0), _WINDOW / 3, borderType=cv2.BORDER_REPLICATE)
    darkest = max(1.0, _DARKEST_PAPER * float(np.percentile(smooth, 95)))
    smooth = np.maximum(smooth, np.uint8(np.ceil(darkest)))
    return _uint8(cv2.resize(smooth, (gray.shape[1], gray.shape[0]), interpolation=cv2.INTER_LINEAR))


def _curve(even: Gray, paper: Gray) -> Gray:
    """Make the table [256] that brings a page's paper to 255 and its ink to 0."""
    sample = even[::_SAMPLE_EVERY, ::_SAMPLE_EVERY]
    on_paper = paper[::_SAMPLE_EVERY, ::_SAMPLE_EVERY]
    counts = np.bincount(sample[on_paper > 0.5 * on_paper.max()], minlength=256).astype(float)
    split = _otsu(counts)
    white = split + _quantile(counts[split:], _PAPER_QUANTILE)
    ink = min(_LIGHTEST_INK, _quantile(counts[:split], _INK_QUANTILE))
    values = (np.arange(256) - ink) * (255.0 / max(1, white - ink))
    return _uint8(values.clip(0, 255).round())


def _quantile(counts: NDArray[np.float64], share: float) -> int:
    """Tell below which bin of a histogram this share lies; 0 for an empty one."""
    below = np.cumsum(counts)
    return int(np.searchsorted(below, share * below[-1])) if below.size else 0


def _otsu(counts: NDArray[np.float64]) -> int:
    """Split a histogram into two classes (Otsu 1979, doi:10.1109/TSMC.1979.4310076)."""
    levels = np.arange(counts.size)
    weight = np.cumsum(counts)
    total = weight[-1] if weight.size else 0.0
    if total == 0:
        return 0
    mean = np.cumsum(counts * levels)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (mean[-1] * weight - mean * total) ** 2 / (weight * (total - weight))
    return int(np.nan_to_num(between, posinf=0.0).argmax()) + 1


def _small_size(gray: Gray, side: int) -> tuple[int, int]:
    factor = max(1.0, max(gray.shape) / side)
    return max(1, round(gray.shape[1] / factor)), max(1, round(gray.shape[0] / factor))


def _uint8(array: object) -> Gray:
    return np.asarray(array, dtype=np.uint8)
