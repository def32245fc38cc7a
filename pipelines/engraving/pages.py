"""An engraved page with all that is known of it: its picture, every symbol with its box, and the music.

Pictures have a staff space of `ENGRAVED_SPACE_PX`; coordinates are px of the picture, y downwards. What is
not known or does not apply is -1 (for `position`, `UNKNOWN_POSITION`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

ENGRAVED_SPACE_PX: Final = 16.0
UNKNOWN_POSITION: Final = 99

SYMBOL_FIELDS: Final = np.dtype(
    [
        ("kind", np.int16),  # index in services.omr.vocabulary.CLASSES
        ("x", np.float32),  # centre of the box
        ("y", np.float32),
        ("width", np.float32),
        ("height", np.float32),
        ("staff", np.int16),  # index in `staves`: the staff that it stands on as printed
        ("position", np.int16),  # staff position, half spaces above that staff's middle line
        ("duration", np.int8),  # index in VALUES_QUARTERS, whole is 0 (heads and rests)
        ("dots", np.int8),
        ("stem", np.int8),  # STEM_NONE, STEM_UP, STEM_DOWN (heads)
        ("grace", np.int8),  # 1 for a grace note (heads)
        ("tuplet", np.int8),  # TUPLET_NONE, TUPLET_TRIPLET, TUPLET_OTHER (heads and rests)
        ("tied_back", np.int8),  # 1 where a tie ends at the head
        ("tied_on", np.int8),  # 1 where a tie begins at the head
        ("chord", np.int32),  # heads on one stem share it; each rest has its own (heads and rests)
        ("beam", np.int32),  # heads of chords under one beam share it
        ("measure", np.int16),  # index in `measures`
        ("voice", np.int16),  # number of the layer on its home staff, from 1 (heads and rests)
        ("onset", np.float32),  # quarter notes from the measure's start (heads and rests)
        ("length", np.float32),  # quarter notes, dots and tuplets included, 0 for grace notes
        ("diatonic", np.int16),  # octave * 7 + step, C is 0 (heads)
        ("alter", np.int8),  # semitones, sounding: key and accidentals applied (heads)
    ]
)

STAFF_FIELDS: Final = np.dtype(
    [
        ("system", np.int16),
        ("part", np.int16),  # staves of one part (joined by a brace) share it, from 0 within the system
        ("left", np.float32),  # where its lines begin and end
        ("right", np.float32),
        ("y", np.float32),  # of the middle line (level: the page is not yet damaged)
    ]
)

MEASURE_FIELDS: Final = np.dtype(
    [
        ("system", np.int16),
        ("left", np.float32),  # from barline to barline; the first begins at the staff's left end
        ("right", np.float32),
        ("duration", np.float32),  # quarter notes that its fullest layer lasts
    ]
)


@dataclass(frozen=True, slots=True)
class EngravedPage:
    """One page.

    Attributes:
        image: uint8 [height, width], 255 is paper.
        symbols: structured array of `SYMBOL_FIELDS`, one for each symbol printed.
        staves: structured array of `STAFF_FIELDS`, top down.
        measures: structured array of `MEASURE_FIELDS`, in reading order; one for all staves of a system.
    """

    image: NDArray[np.uint8]
    symbols: NDArray[np.void]
    staves: NDArray[np.void]
    measures: NDArray[np.void]

    def save(self, stem: Path) -> None:
        """Write `stem.png` and `stem.npz`; the second last, so that a page that has it is whole."""
        cv2.imwrite(str(stem.with_suffix(".png")), self.image, [cv2.IMWRITE_PNG_COMPRESSION, 2])
        part = stem.with_suffix(".part.npz")
        np.savez_compressed(part, symbols=self.symbols, staves=self.staves, measures=self.measures)
        part.replace(stem.with_suffix(".npz"))

    @classmethod
    def load(cls, stem: Path) -> EngravedPage:
        """Read what `save` wrote."""
        image = cv2.imread(str(stem.with_suffix(".png")), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise FileNotFoundError(stem.with_suffix(".png"))
        with np.load(stem.with_suffix(".npz")) as truth:
            return cls(image, truth["symbols"], truth["staves"], truth["measures"])
