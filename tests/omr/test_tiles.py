"""Tiles cover the page, and what they find is told once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.omr import tiles
from services.omr.contract import (
    CANDIDATES,
    CELL_PX,
    CELLS,
    CLASS,
    FIELDS,
    HALO_PX,
    SCORE,
    TILE_PX,
    X,
    Y,
)
from services.omr.page import PreparedPage
from services.omr.steps import find_symbols
from services.omr.vocabulary import CLASS_INDEX, CLASSES, SymbolClass

LEAST = np.full(len(CLASSES), 0.3, np.float32)
SIZES = st.integers(7, 1900)


def page_of(points: NDArray[np.int64], height: int, width: int) -> NDArray[np.uint8]:
    """A page with a blot of 6 by 6 px around every point (x, y)."""
    image = np.full((height, width), 255, np.uint8)
    for x, y in points:
        image[max(y - 3, 0) : y + 3, max(x - 3, 0) : x + 3] = 0
    return image


@settings(max_examples=40)
@given(height=SIZES, width=SIZES, seed=st.integers(0, 1000), count=st.integers(1, 40))
def test_every_point_of_ink_lies_in_one_core_and_well_inside_its_tile(
    height: int, width: int, seed: int, count: int
) -> None:
    random = np.random.default_rng(seed)
    points = np.stack((random.integers(3, width - 3, count), random.integers(3, height - 3, count)), 1)
    image = page_of(points, height, width)
    placed = tiles.place(image)
    ink_left, ink_top = (points - 3).min(axis=0)
    ink_right, ink_bottom = (points + 3).max(axis=0)
    for x, y in points:
        owners = [t for t in placed if t.core[0] <= x < t.core[2] and t.core[1] <= y < t.core[3]]
        (owner,) = owners
        assert x - owner.left >= HALO_PX or owner.left <= ink_left
        assert y - owner.top >= HALO_PX or owner.top <= ink_top
        assert owner.left + TILE_PX - x >= HALO_PX or owner.left + TILE_PX >= ink_right
        assert owner.top + TILE_PX - y >= HALO_PX or owner.top + TILE_PX >= ink_bottom


def test_tiles_lie_on_cells_and_a_small_page_needs_one() -> None:
    image = page_of(np.array([[100, 100], [300, 400]]), 500, 450)
    (tile,) = tiles.place(image)
    assert tile.left % CELL_PX == tile.top % CELL_PX == 0
    assert tiles.cut(image, tile).shape == (TILE_PX, TILE_PX)


def test_paper_needs_no_tiles() -> None:
    assert tiles.place(np.full((2000, 1500), 255, np.uint8)) == ()
    assert tiles.place(np.full((1, 1), 255, np.uint8)) == ()


def test_tiles_without_ink_are_left_out() -> None:
    image = page_of(np.array([[50, 50], [1900, 1900]]), 2000, 2000)
    assert len(tiles.place(image)) == 2


def blots(tile: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A model that calls every blot a black head, and every dark cell a middle line."""
    dark = tile < 128
    corners = dark & ~np.roll(dark, 1, 0) & ~np.roll(dark, 1, 1)
    ys, xs = np.nonzero(corners)
    candidates = np.zeros((CANDIDATES, FIELDS), np.float32)
    candidates[: len(xs), SCORE] = 0.9
    candidates[:, CLASS] = CLASS_INDEX[SymbolClass.NOTEHEAD_BLACK]
    candidates[: len(xs), X], candidates[: len(xs), Y] = xs + 3, ys + 3
    cells = dark.reshape(CELLS, CELL_PX, CELLS, CELL_PX).any(axis=(1, 3))
    return candidates, cells.astype(np.uint8) * 255


@pytest.mark.parametrize(("height", "width"), [(300, 300), (1777, 1201), (513, 2050)])
def test_symbols_and_middle_lines_are_those_of_the_whole_page(height: int, width: int) -> None:
    xs, ys = np.meshgrid(np.arange(20, width - 10, 37), np.arange(20, height - 10, 41))
    points = np.stack((xs.ravel(), ys.ravel()), 1)
    image = page_of(points, height, width)
    grid = np.zeros((2, 2))
    symbols, middle = find_symbols(PreparedPage(image, (width, height), 16.0, grid, grid), blots, LEAST)
    assert sorted((s.x, s.y) for s in symbols) == sorted(map(tuple, points.tolist()))
    whole = np.full((-(-height // 4) * 4, -(-width // 4) * 4), 255, np.uint8)
    whole[:height, :width] = image
    cells = (whole < 128).reshape(whole.shape[0] // 4, 4, whole.shape[1] // 4, 4).any(axis=(1, 3))
    np.testing.assert_array_equal(middle > 0, cells)
