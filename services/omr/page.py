"""What passes between the steps of reading a page: the prepared picture, its staves, and the symbols on it.

Coordinates are px of the prepared page (staff space `contract.STAFF_SPACE_PX`), y downwards, unless a name
says otherwise. Staff positions count half staff spaces upwards from a staff's middle line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.omr.contract import STAFF_SPACE_PX
from services.omr.vocabulary import SymbolClass

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PreparedPage:
    """A page made ready for the model.

    Attributes:
        image: uint8 [height, width]; 255 is paper, 0 is ink; staves horizontal, staff space 10 px.
        upload_size: width and height of the picture that was uploaded (or rendered of a PDF), in px.
        grid_px: spacing of `upload_x` and `upload_y`, in px of the prepared page.
        upload_x, upload_y: float [rows, columns]: where the prepared page's points (column * grid_px,
            row * grid_px) lie in the upload, in px; the map between is bilinear.
    """

    image: NDArray[np.uint8]
    upload_size: tuple[int, int]
    grid_px: float
    upload_x: FloatArray
    upload_y: FloatArray


@dataclass(frozen=True, slots=True)
class Staff:
    """One staff line group: the curve of its middle line.

    Attributes:
        x, y: points of the middle line, x increasing, in px; the staff reaches from x[0] to x[-1].
    """

    x: FloatArray
    y: FloatArray

    def y_at(self, x: float) -> float:
        """Height of the middle line at x, in px; level beyond its ends."""
        return float(np.interp(x, self.x, self.y))

    def position_of(self, x: float, y: float) -> float:
        """Staff position of a point, in half staff spaces above the middle line."""
        return (self.y_at(x) - y) / (STAFF_SPACE_PX / 2)


@dataclass(frozen=True, slots=True)
class System:
    """Staves that are played together, top down.

    Attributes:
        staves: at least one.
        groups: first and last index (in `staves`, inclusive) of the staves of each part: the staves joined by
            a brace make one part, any other is a part of its own; together they cover all staves in order.
    """

    staves: tuple[Staff, ...]
    groups: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol that the model found.

    Attributes:
        kind: its class.
        confidence: 0 to 1.
        x, y: its centre, in px.
        width, height: of its box, in px.
        position: staff position that the model reads (meaningful on or near a staff), half spaces.
        position_confidence: 0 to 1.
        durations: log-probabilities of the values whole to 64th; for heads and rests.
        dots: log-probabilities of 0, 1 or 2 dots; for heads and rests.
        stem: log-probabilities of no stem, up, down; for heads.
        tuplet: log-probabilities of no tuplet, a triplet, another; for heads and rests.
        grace, tied_back, tied_on: probabilities; for heads.
        voice: log-probabilities of being alone in its measure and staff, in the upper of two voices, in the
            lower; for heads and rests. All alike where nothing has judged it.
    """

    kind: SymbolClass
    confidence: float
    x: float
    y: float
    width: float
    height: float
    position: int
    position_confidence: float
    durations: tuple[float, ...]
    dots: tuple[float, ...]
    stem: tuple[float, ...]
    tuplet: tuple[float, ...]
    grace: float
    tied_back: float
    tied_on: float
    voice: tuple[float, float, float] = (-1.0986, -1.0986, -1.0986)
