"""From px of a prepared page to px of the upload."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.omr.assembly.recognition import Box
from services.omr.page import FloatArray, PreparedPage, Staff


def upload_boxes(page: PreparedPage, edges: Sequence[tuple[float, float, float, float]]) -> list[Box]:
    """Boxes in px of the upload that hold what boxes of the prepared page hold.

    Args:
        page: gives the map.
        edges: left, top, right and bottom of each box, in px of the prepared page.
    """
    if not edges:
        return []
    left, top, right, bottom = np.array(edges, np.float64).T
    x, y = to_upload(page, np.stack((left, right, left, right)), np.stack((top, top, bottom, bottom)))
    width, height = page.upload_size
    x, y = np.clip(x, 0, width), np.clip(y, 0, height)
    corners = np.stack((x.min(0), y.min(0), np.ptp(x, axis=0), np.ptp(y, axis=0)), 1)
    return [Box(*map(float, np.round(corner, 1))) for corner in corners]


def to_upload(page: PreparedPage, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points of the prepared page in px of the upload; bilinear, carried on beyond the grid's edges."""
    rows, columns = page.upload_x.shape
    column, row = x / page.grid_px, y / page.grid_px
    left = np.clip(np.floor(column).astype(np.int64), 0, max(columns - 2, 0))
    top = np.clip(np.floor(row).astype(np.int64), 0, max(rows - 2, 0))
    right, bottom = np.minimum(left + 1, columns - 1), np.minimum(top + 1, rows - 1)
    across, down = column - left, row - top
    mapped = []
    for grid in (page.upload_x, page.upload_y):
        upper = grid[top, left] * (1 - across) + grid[top, right] * across
        lower = grid[bottom, left] * (1 - across) + grid[bottom, right] * across
        mapped.append(np.asarray(upper * (1 - down) + lower * down, np.float64))
    return mapped[0], mapped[1]


def lines_between(
    upper: Staff, lower: Staff, left: float, right: float, margin: float
) -> tuple[float, float, float, float]:
    """Edges of what lies between two staves' outer lines, `margin` px from their middle lines."""
    inside = [x for x in (*upper.x.tolist(), *lower.x.tolist()) if left < x < right]
    xs = [left, *inside, right]
    top = min(upper.y_at(x) for x in xs) - margin
    bottom = max(lower.y_at(x) for x in xs) + margin
    return left, top, right, bottom
