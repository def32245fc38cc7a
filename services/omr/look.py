"""How a picture of a page looks: what tells a scan from a photograph, and a good one from a poor one.

Measured while a page is prepared, for watching drift; nothing of it decides how the page is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.omr.contract import STAFF_SPACE_PX
from services.omr.light import unevenness
from services.omr.page import FloatArray, PreparedPage

_INK: Final = 128
#: Neither paper nor ink: so far from both, as a share of the distance between them.
_MIDTONE: Final = 0.25
#: Shares of the picture's pixels that are darker than its ink's darkest, than its paper.
_DARKEST: Final = 0.01
_LIGHT: Final = 0.9
#: Every so many pixels of the picture are looked at.
_SAMPLE_EVERY: Final = 3
#: Edges are judged by the steepest share of all pixels, where the staff lines are.
_STEEPEST: Final = 0.99


@dataclass(frozen=True, slots=True)
class PageLook:
    """How a page looks.

    Attributes:
        staff_space_px: staff space in px of the upload.
        tilt_deg: angle between the staves and the nearest side of the picture, 0 to 45 degrees.
        bend_spaces: how far the staves are from straight and even, in staff spaces: root mean square of what
            turning, scaling and shearing the picture does not explain.
        unevenness: how much darker the paper is where it is darkest, 0 to 1.
        midtone_share: share of the picture's pixels that are neither paper nor ink: 0 in a 1-bit scan.
        ink_share: share of the prepared page that is ink.
        edge_px: width of the sharpest edges, in px of the prepared page: 1 is sharp.
    """

    staff_space_px: float
    tilt_deg: float
    bend_spaces: float
    unevenness: float
    midtone_share: float
    ink_share: float
    edge_px: float


def look_at(picture: NDArray[np.uint8], page: PreparedPage) -> PageLook:
    """Measure how a page looks.

    Args:
        picture: uint8 [h, w], as uploaded or drawn.
        page: the same, prepared.
    """
    across_x, across_y = (np.diff(values, axis=1) / page.grid_px for values in (page.upload_x, page.upload_y))
    scale = float(np.median(np.hypot(across_x, across_y)))
    turned = np.degrees(np.arctan2(np.median(across_y), np.median(across_x))) % 90
    space_px = scale * STAFF_SPACE_PX
    return PageLook(
        staff_space_px=space_px,
        tilt_deg=float(min(turned, 90 - turned)),
        bend_spaces=_bend(page.upload_x, page.upload_y) / max(space_px, 1e-9),
        unevenness=unevenness(picture),
        midtone_share=_midtones(picture[::_SAMPLE_EVERY, ::_SAMPLE_EVERY]),
        ink_share=float(np.mean(page.image[::_SAMPLE_EVERY] < _INK)),
        edge_px=_edge_px(page.image[:, ::_SAMPLE_EVERY]),
    )


def _bend(x: FloatArray, y: FloatArray) -> float:
    """Root mean square distance of a map's points from the nearest affine map, in px of the upload."""
    rows, columns = np.indices(x.shape)
    plane = np.stack([np.ones(x.size), rows.ravel(), columns.ravel()], axis=1)
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    fitted = plane @ np.linalg.lstsq(plane, points, rcond=None)[0]
    return float(np.sqrt(np.mean(np.sum((points - fitted) ** 2, axis=1))))


def _midtones(sample: NDArray[np.uint8]) -> float:
    below = np.cumsum(np.bincount(sample.ravel(), minlength=256)) / sample.size
    dark, light = np.searchsorted(below, (_DARKEST, _LIGHT))
    margin = _MIDTONE * (light - dark)
    return float(below[int(light - margin)] - below[int(dark + margin)])


def _edge_px(image: NDArray[np.uint8]) -> float:
    """Tell over how many px ink turns into paper, down the page."""
    if image.shape[0] < 2:
        return 1.0
    steps = np.abs(np.diff(image.astype(np.int16), axis=0))
    counts = np.bincount(steps.ravel(), minlength=256)
    steepest = int(np.searchsorted(np.cumsum(counts), _STEEPEST * steps.size))
    return 255.0 / max(steepest, 1)
