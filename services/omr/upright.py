"""Which way up a page is: staves begin with a clef and a key, and end with a barline.

A page of music turned by 180 degrees has staves as straight as before; only what stands on them tells. At
the left end of every staff there is much ink, at the right end little: this is weighed over all staves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.omr.contract import STAFF_SPACE_PX
from services.omr.tracks import Track

#: What is compared at a staff's ends: so much of its length at most, in px, but for what is nearest to the
#: end, where a barline or brace may stand; up to so far above and below its middle line.
_END_PX: Final = 60
_END_SHARE: Final = 0.3
_BARLINE_PX: Final = 5
_HEIGHT_PX: Final = int(3.2 * STAFF_SPACE_PX)


def uprightness(image: NDArray[np.uint8], staves: Sequence[tuple[Track, tuple[float, float]]]) -> float:
    """Weigh the ends of a page's staves.

    Args:
        image: uint8 [h, w], straight, 255 is paper, staff space 10 px.
        staves: each with where its lines begin and end, in px.

    Returns:
        Mean logarithm of how many times more ink there is at the left than at the right, -1 to 1; 0 where
        there are no staves.
    """
    ratios = []
    for track, (left, right) in staves:
        wide = min(_END_PX, _END_SHARE * (right - left))
        at_left = _ink(image, track, left + _BARLINE_PX, left + wide)
        at_right = _ink(image, track, right - wide, right - _BARLINE_PX)
        ratios.append(np.log((at_left + 1) / (at_right + 1)))
    return float(np.mean(np.clip(ratios, -1, 1))) if ratios else 0.0


def _ink(image: NDArray[np.uint8], track: Track, left: float, right: float) -> float:
    """Mean ink around a stretch of a staff, 0 to 255."""
    columns = np.arange(max(0, int(left)), min(image.shape[1], int(right)))
    if not columns.size:
        return 0.0
    middle = np.round(np.interp(columns, track.x, track.y)).astype(int)
    rows = np.clip(middle + np.arange(-_HEIGHT_PX, _HEIGHT_PX + 1)[:, None], 0, image.shape[0] - 1)
    return 255 - float(image[rows, columns].mean())
