"""Which way up a page is: staves begin with a clef.

A page of music turned by 180 degrees has staves as straight as before; only what stands on them tells. The
left end of each staff, and its right end turned over, are compared with pictures of clefs. Where print is too
poor for that, or clefs are strange, it still tells that there is more ink at the left, with clef and key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.omr.contract import STAFF_SPACE_PX
from services.omr.pictures import CLEFS_ABOVE_PX, likeness, picture
from services.omr.tracks import Track

#: A clef may be so much higher or lower, in px, as lines are found.
_HIGHER_PX: Final = 5
#: What is looked at: from so far outside of a staff's end to so far inside, and so far from its middle line.
_OUTSIDE_PX: Final = 6
_INSIDE_PX: Final = 64
_HEIGHT_PX: Final = int(5.2 * STAFF_SPACE_PX)
#: Of the ends without what is nearest to them, where a barline or brace may stand, the ink is compared; what
#: the logarithm of their ratio, -1 to 1, weighs beside the likeness to clefs.
_BARLINE_PX: Final = 5
_INK_WEIGHT: Final = 0.25
#: Shorter staves have no two ends to compare, in px.
_SHORTEST_PX: Final = 2 * _INSIDE_PX


def uprightness(image: NDArray[np.uint8], staves: Sequence[tuple[Track, tuple[float, float]]]) -> float:
    """Weigh the ends of a page's staves.

    Args:
        image: uint8 [h, w], straight, 255 is paper, staff space 10 px.
        staves: each with where its lines begin and end, in px.

    Returns:
        How much more the left ends look like clefs than the right ends turned over, and how much more ink is
        there, on average over the staves; 0 where there are none. Of a page of music 0.1 and more, or, upside
        down, -0.1 and less.
    """
    found = [
        _difference(
            _end(image, track, left - _OUTSIDE_PX, left + _INSIDE_PX),
            _end(image, track, right - _INSIDE_PX, right + _OUTSIDE_PX)[::-1, ::-1],
        )
        for track, (left, right) in staves
        if right - left >= _SHORTEST_PX
    ]
    return float(np.mean(found)) if found else 0.0


def _difference(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    inner = slice(_OUTSIDE_PX + _BARLINE_PX, None)
    ink = float(np.log((256 - left[:, inner].mean()) / (256 - right[:, inner].mean())))
    return _clef_likeness(left) - _clef_likeness(right) + _INK_WEIGHT * max(-1.0, min(ink, 1.0))


def _end(image: NDArray[np.uint8], track: Track, left: float, right: float) -> NDArray[np.float32]:
    """What is around a stretch of a staff, its middle line level in the middle; paper beyond the page."""
    columns = np.arange(int(left), int(right))
    rows = np.round(np.interp(columns, track.x, track.y)).astype(int)
    rows = rows + np.arange(-_HEIGHT_PX, _HEIGHT_PX + 1)[:, None]
    inside = (rows >= 0) & (rows < image.shape[0]) & (columns >= 0) & (columns < image.shape[1])
    found = image[np.clip(rows, 0, image.shape[0] - 1), np.clip(columns, 0, image.shape[1] - 1)]
    return np.where(inside, found, 255).astype(np.float32)


def _clef_likeness(end: NDArray[np.float32]) -> float:
    likest = -1.0
    for name, above in CLEFS_ABOVE_PX.items():
        clef, top = picture(name), _HEIGHT_PX - above - _HIGHER_PX
        around = end[max(top, 0) : top + clef.shape[0] + 2 * _HIGHER_PX]
        likest = max(likest, likeness(np.ascontiguousarray(around), clef))
    return likest
