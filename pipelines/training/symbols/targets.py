"""What the network is asked to answer for a tile, from the symbols and staves that lie in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.training.symbols.network import MAPS
from services.omr.contract import CELL_PX, STAFF_SPACE_PX

#: A symbol's peak: a Gaussian of this many cells, out to three cells.
_PEAK_CELLS: Final = 0.75
_REACH: Final = 3
#: A staff's middle line: a Gaussian ridge of this many cells.
_RIDGE_CELLS: Final = 0.6
#: How often a symbol's attributes are read one cell beside its centre, where a peak may come to lie.
_BESIDE: Final = 0.15

#: One symbol in a batch of tiles. Attributes that are not known or do not apply are -1 (`position`: 99).
POINT: Final = np.dtype(
    [
        ("cell", np.int64),  # (tile * G + row) * G + column of its centre
        ("read", np.int64),  # of the cell where its attributes are read
        ("kind", np.int64),
        ("offset", np.float32, 2),
        ("size", np.float32, 2),
        ("position", np.int64),
        ("duration", np.int64),
        ("dots", np.int64),
        ("stem", np.int64),
        ("tuplet", np.int64),
        ("grace", np.int64),
        ("tied_back", np.int64),
        ("tied_on", np.int64),
    ]
)
_COPIED: Final = ("position", "duration", "dots", "stem", "tuplet", "grace", "tied_back", "tied_on")


@dataclass(frozen=True)
class Targets:
    """What a tile's answer should be; G cells a side.

    Attributes:
        absence: uint8 [G, G, MAPS]: 255 where nothing of that class is near, 0 at a centre (and in the
            channel of the staves, which has a target of its own).
        staves: uint8 [G, G]: 255 on a staff's middle line.
        points: `POINT` for each symbol.
    """

    absence: NDArray[np.uint8]
    staves: NDArray[np.uint8]
    points: NDArray[np.void]


def _stamp(peaks: NDArray[np.float32], kind: int, x: float, y: float) -> None:
    """Raise the map of `kind` to a peak at (x, y), in cells."""
    cells = peaks.shape[0]
    column, row = round(x), round(y)
    left, right = max(0, column - _REACH), min(cells, column + _REACH + 1)
    top, bottom = max(0, row - _REACH), min(cells, row + _REACH + 1)
    across = np.exp(-((np.arange(left, right) - x) ** 2) / (2 * _PEAK_CELLS**2))
    down = np.exp(-((np.arange(top, bottom) - y) ** 2) / (2 * _PEAK_CELLS**2))
    there = peaks[top:bottom, left:right, kind]
    np.maximum(there, np.outer(down, across), out=there)
    peaks[row, column, kind] = 1.0


def _ridge(lines: list[NDArray[np.float32]], cells: int) -> NDArray[np.uint8]:
    """Ridges [cells, cells] along `lines`, each points (x, y) in px from left to right."""
    ridge = np.zeros((cells, cells), np.float32)
    rows = np.arange(cells, dtype=np.float32)[:, None]
    middles = (np.arange(cells, dtype=np.float32) + 0.5) * CELL_PX
    for line in lines:
        at = np.interp(middles, line[:, 0], line[:, 1]) / CELL_PX - 0.5
        inside = (middles >= line[0, 0]) & (middles <= line[-1, 0])
        np.maximum(ridge, inside * np.exp(-((rows - at) ** 2) / (2 * _RIDGE_CELLS**2)), out=ridge)
    return np.round(ridge * 255).astype(np.uint8)


def targets(
    random: np.random.Generator, symbols: NDArray[np.void], lines: list[NDArray[np.float32]], tile_px: int
) -> Targets:
    """Targets of one tile.

    Args:
        random: decides which symbols are read beside their centres.
        symbols: `SYMBOL_FIELDS` with centres and sizes in px of the tile; those outside are left out.
        lines: middle lines of staves, each points (x, y) [n, 2] from left to right in px of the tile.
        tile_px: side of the tile.
    """
    cells = tile_px // CELL_PX
    inside = (symbols["x"] >= 0) & (symbols["x"] < tile_px) & (symbols["y"] >= 0) & (symbols["y"] < tile_px)
    symbols = symbols[inside]
    x, y = symbols["x"] / CELL_PX - 0.5, symbols["y"] / CELL_PX - 0.5
    column = np.clip(np.round(x), 0, cells - 1).astype(np.int64)
    row = np.clip(np.round(y), 0, cells - 1).astype(np.int64)
    peaks = np.zeros((cells, cells, MAPS), np.float32)
    # Where two grids meet, half a cell may lie outside.
    centres = np.clip(np.stack([x, y], 1), 0, cells - 1).tolist()
    for kind, (along, down) in zip(symbols["kind"].tolist(), centres, strict=True):
        _stamp(peaks, kind, along, down)
    absence = np.round(255 * (1 - peaks) ** 4).astype(np.uint8)
    absence[..., -1] = 0
    beside = random.random((2, len(symbols))) < _BESIDE / 2
    steps = beside * random.choice([-1, 1], (2, len(symbols)))
    read_column, read_row = np.clip(column + steps[0], 0, cells - 1), np.clip(row + steps[1], 0, cells - 1)
    points = np.zeros(len(symbols), POINT)
    points["cell"], points["read"] = row * cells + column, read_row * cells + read_column
    points["kind"] = symbols["kind"]
    points["offset"] = np.stack([x - read_column, y - read_row], 1)
    sizes = np.stack([symbols["width"], symbols["height"]], 1)
    points["size"] = np.log(np.maximum(sizes, 1) / STAFF_SPACE_PX)
    for name in _COPIED:
        points[name] = symbols[name]
    return Targets(absence, _ridge(lines, cells), points)


def joined(each: list[Targets]) -> Targets:
    """The targets of a batch: maps stacked, points one after the other."""
    cells = each[0].staves.size
    points = []
    for index, one in enumerate(each):
        moved = one.points.copy()
        moved["cell"] += index * cells
        moved["read"] += index * cells
        points.append(moved)
    absence, staves = np.stack([one.absence for one in each]), np.stack([one.staves for one in each])
    return Targets(absence, staves, np.concatenate(points))
