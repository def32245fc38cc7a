"""A comb of five teeth, laid over a page everywhere at many slopes and staff spaces: where does it fit?

Lines are looked for in windows of some ten staff spaces, summed along the slope, so that notes on a staff and
gaps in broken lines matter little. A comb that fits tells where a staff's middle line is, which way it runs,
and how far its lines lie apart: all that straightening needs, and what staves are traced by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.omr.contract import STAFF_SPACE_PX
from services.omr.page import FloatArray

Floats = NDArray[np.float32]

#: Combs stand this far apart along the page, and each sums over so much to either side, in px.
STEP_PX: Final = 40
_REACH_PX: Final = 56
_STRIP_PX: Final = 8
#: Ink higher than this is no line.
_THICK_PX: Final = 4
#: How much counts: the mean of the teeth, that of the two weakest, ink where a sixth line would be, ink
#: between the teeth.
_MEAN, _WEAKEST, _SIXTH, _BETWEEN = 0.5, 0.5, 0.3, 0.35
#: Added to the contrast of a window, so that the grain of paper does not pass for lines.
_LEAST_CONTRAST: Final = 0.06


@dataclass(frozen=True, slots=True)
class Combs:
    """How well combs fit.

    Attributes:
        x: [n]: where along the page they stand, in px.
        fit: float32 [height, n]: for a middle line at that height; lines without a flaw give about 2.
        slope, space: float32 [height, n]: of the comb that fits best there; y over x, and px.
    """

    x: FloatArray
    fit: Floats
    slope: Floats
    space: Floats


def lines_of(image: NDArray[np.uint8]) -> Floats:
    """Take what is thin and level from a page (staff space 10 px): float32 [h, w], 0 to 1."""
    ink = 255 - image
    thin = ink - cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((_THICK_PX, 1), np.uint8))
    return np.asarray(thin / np.float32(255), np.float32)


def lay_combs(lines: Floats, slopes: FloatArray, spaces: FloatArray) -> Combs:
    """Lay combs over a page.

    Args:
        lines: float32 [h, w], as `lines_of` gives.
        slopes, spaces: to try.
    """
    height, width = lines.shape
    count = max(1, width // _STRIP_PX)
    shrunk = cv2.resize(lines, (count, height), interpolation=cv2.INTER_AREA)
    strips = np.asarray(shrunk, np.float32).reshape(height, count)
    reach, step = _REACH_PX // _STRIP_PX, STEP_PX // _STRIP_PX
    at = np.arange(min(step // 2, count - 1), count, step)
    padded = np.asarray(np.pad(strips, ((0, 0), (reach, reach))), np.float32)
    shape = height, at.size
    best = np.full(shape, -np.inf, np.float32)
    slope, space = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    for each in slopes:
        profile = np.zeros(shape, np.float32)
        for offset in range(-reach, reach + 1):
            profile += _raised(padded[:, at + offset + reach], each * offset * _STRIP_PX)
        profile /= 2 * reach + 1
        profile -= _window_mean(profile)
        contrast = np.sqrt(np.maximum(_window_mean(profile**2), 0)) + _LEAST_CONTRAST
        tolerant = np.asarray(cv2.dilate(profile, np.ones((3, 1), np.uint8)), np.float32).reshape(shape)
        for distance in spaces:
            fit = _fit(profile, tolerant, float(distance)) / contrast
            better = fit > best
            best[better], slope[better], space[better] = fit[better], each, distance
    return Combs(np.asarray((at + 0.5) * _STRIP_PX, np.float64), best, slope, space)


def _fit(profile: Floats, tolerant: Floats, space: float) -> Floats:
    total = np.zeros_like(profile)
    weakest, second = np.full_like(profile, np.inf), np.full_like(profile, np.inf)
    for k in (-2, -1, 0, 1, 2):
        tooth = _raised(tolerant, k * space)
        total += tooth
        second = np.minimum(second, np.maximum(weakest, tooth))
        weakest = np.minimum(weakest, tooth)
    sixth = np.maximum(_raised(tolerant, -3 * space), _raised(tolerant, 3 * space))
    between = sum(_raised(profile, (k + 0.5) * space) for k in (-2, -1, 0, 1)) / 4
    fit = _MEAN / 5 * total + _WEAKEST / 2 * (weakest + second) - _SIXTH * sixth - _BETWEEN * between
    return np.asarray(fit, np.float32)


def _window_mean(picture: Floats) -> Floats:
    mean = cv2.blur(picture, (1, 7 * int(STAFF_SPACE_PX)), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(mean, np.float32).reshape(picture.shape)


def _raised(picture: Floats, by: float) -> Floats:
    """The picture moved up by whole px, blank moving in."""
    by_px = round(by)
    moved = np.zeros_like(picture)
    if by_px >= 0:
        moved[: picture.shape[0] - by_px] = picture[by_px:]
    elif -by_px < picture.shape[0]:
        moved[-by_px:] = picture[:by_px]
    return moved
