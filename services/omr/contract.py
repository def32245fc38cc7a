"""The tensor contracts of the `symbols` and `context` models, and the scale and tiling they imply.

A page is brought to one staff space (`STAFF_SPACE_PX`), its light evened (255 is paper, 0 is ink), and cut
into square tiles that overlap by two halos, so that every symbol lies at least `HALO_PX` inside of one tile,
or at the page's edge. The model finds the `CANDIDATES` most likely symbols of a tile and tells for each its
class, its box and what it reads at its centre; and for every cell of 4 by 4 px how likely a staff's middle
line runs through it.

`context` reads the candidates of one staff from left to right and tells for each what it is in the light of
the others.
"""

from __future__ import annotations

from typing import Final

from services.runtime.contract import ModelContract, TensorSpec

#: Distance of neighbouring staff lines on a prepared page, in px.
STAFF_SPACE_PX: Final = 10.0

TILE_PX: Final = 512
HALO_PX: Final = 48
CELL_PX: Final = 4
CELLS: Final = TILE_PX // CELL_PX

#: Most symbols that a tile can give; a dense tile of piano music holds about 400, stems and beams included.
CANDIDATES: Final = 640

#: Staff positions: half staff spaces above the middle line; the model knows -24 to 24.
HIGHEST_POSITION: Final = 24
POSITIONS: Final = 2 * HIGHEST_POSITION + 1

# Fields of a candidate, in order.
SCORE, CLASS, X, Y, WIDTH, HEIGHT = range(6)  # score 0..1; class index; centre; size
POSITION, POSITION_SCORE = 6, 7  # most likely staff position, and its probability
DURATION: Final = slice(8, 15)  # log-probabilities of the values whole to 64th (heads and rests)
DOTS: Final = slice(15, 18)  # log-probabilities of 0, 1, 2 dots (heads and rests)
STEM: Final = slice(18, 21)  # log-probabilities of no stem, up, down (heads)
TUPLET: Final = slice(21, 24)  # log-probabilities of no tuplet, a triplet, another (heads and rests)
GRACE, TIED_BACK, TIED_ON = 24, 25, 26  # probabilities (heads)
FIELDS: Final = 27

SYMBOLS: Final = ModelContract(
    model="symbols",
    inputs=(TensorSpec("tile", "UINT8", (TILE_PX, TILE_PX)),),
    outputs=(
        TensorSpec("candidates", "FP32", (CANDIDATES, FIELDS)),
        TensorSpec("staves", "UINT8", (CELLS, CELLS)),
    ),
    max_batch=16,
)

#: Candidates of a staff that `context` reads at once; a longer staff is read in windows that overlap.
SEQUENCE: Final = 320
SEQUENCE_OVERLAP: Final = 48

# What `context` is given of a candidate: the fields above, but that X counts staff spaces from the left
# end of the staff and Y is the staff position by geometry; width and height are in staff spaces. Then:
STEP_FROM_PREVIOUS: Final = FIELDS  # staff spaces to the right of the candidate before it
PRESENT: Final = FIELDS + 1  # 1 for a candidate, 0 for padding
CONTEXT_FIELDS: Final = FIELDS + 2

# What `context` answers for each: probabilities, or log-probabilities where there are several.
KEEP, NEW_CLASS, NEW_CLASS_SCORE = range(3)  # that it is a symbol at all; the class, and its probability
NEW_DURATION: Final = slice(3, 10)
NEW_DOTS: Final = slice(10, 13)
NEW_STEM: Final = slice(13, 16)
NEW_TUPLET: Final = slice(16, 19)
VOICE: Final = slice(19, 22)  # alone in its measure and staff, the upper of two voices, the lower
NEW_GRACE, NEW_TIED_BACK, NEW_TIED_ON = 22, 23, 24
READING_FIELDS: Final = 25

CONTEXT: Final = ModelContract(
    model="context",
    inputs=(TensorSpec("candidates", "FP32", (SEQUENCE, CONTEXT_FIELDS)),),
    outputs=(TensorSpec("readings", "FP32", (SEQUENCE, READING_FIELDS)),),
    max_batch=32,
)
