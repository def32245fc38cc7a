"""Smooth bending of a page: surfaces fitted to slopes, and maps made of them.

A surface is a sum of cubic B-splines on a coarse grid, held smooth by a penalty on the differences of
neighbouring coefficients (P-splines: Eilers & Marx 1996, doi:10.1214/ss/1038425655): where nothing is known
it goes on straight. It is fitted to its slopes, not to its values, since slopes are what staves show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from services.omr.page import FloatArray

#: Spacing of the grid of splines, in px.
_KNOTS_PX: Final = 240.0
#: Holds the mean of the coefficients, which slopes leave open, at nought.
_HOLD: Final = 1e-10
_ROUNDS: Final = 4


@dataclass(frozen=True, slots=True)
class Slopes:
    """What is known of a surface's slope along one axis.

    Attributes:
        x, y: [n]: where, in px.
        slope: [n]: how much the surface rises per px.
        weight: [n]: of the square of what is left.
        spread: residuals beyond this count as mistakes.
    """

    x: FloatArray
    y: FloatArray
    slope: FloatArray
    weight: FloatArray
    spread: float


@dataclass(frozen=True, slots=True)
class Surface:
    """A smooth function of the plane.

    Attributes:
        coefficients: [rows, columns] of the splines, `_KNOTS_PX` apart.
        left, top: where the grid begins, in px.
    """

    coefficients: FloatArray
    left: float
    top: float

    def __call__(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """Heights at points, arrays of one shape."""
        rows, columns = self.coefficients.shape
        across = _basis((x.ravel() - self.left) / _KNOTS_PX, columns, 0)
        down = _basis((y.ravel() - self.top) / _KNOTS_PX, rows, 0)
        values = np.einsum("nr,rc,nc->n", down, self.coefficients, across)
        return np.asarray(values.reshape(x.shape), np.float64)


def fit_surface(
    across: Slopes, down: Slopes, box: tuple[float, float, float, float], stiffness: float
) -> Surface:
    """Fit a surface to its slopes along x (`across`) and along y (`down`), mistakes among them set aside.

    Args:
        box: left, top, right, bottom of where the surface must be known, in px.
        stiffness: weight of its curvature.
    """
    left, top, right, bottom = box
    columns = int(np.ceil((right - left) / _KNOTS_PX)) + 3
    rows = int(np.ceil((bottom - top) / _KNOTS_PX)) + 3
    surface = Surface(np.zeros((rows, columns)), left, top)
    sides = [
        (_design(surface, across, along_x=True), across),
        (_design(surface, down, along_x=False), down),
    ]
    penalty = stiffness * _curvature(rows, columns) + _HOLD * np.eye(rows * columns)
    solution: FloatArray = np.zeros(rows * columns)
    trust = [np.ones(known.slope.size) for _, known in sides]
    for _ in range(_ROUNDS):
        normal, right_side = penalty.copy(), np.zeros(rows * columns)
        for (design, known), share in zip(sides, trust, strict=True):
            weighted = design * (known.weight * share)[:, None]
            normal += weighted.T @ design
            right_side += weighted.T @ known.slope
        solution = np.asarray(np.linalg.solve(normal, right_side), np.float64)
        # Geman and McClure's weights: what lies far off counts next to nothing.
        trust = [
            1 / (1 + ((known.slope - design @ solution) / known.spread) ** 2) ** 2 for design, known in sides
        ]
    return Surface(solution.reshape(rows, columns), left, top)


def _design(surface: Surface, known: Slopes, along_x: bool) -> FloatArray:
    """How much each coefficient adds to the slope at each point: [n, rows * columns]."""
    rows, columns = surface.coefficients.shape
    across = _basis((known.x - surface.left) / _KNOTS_PX, columns, int(along_x))
    down = _basis((known.y - surface.top) / _KNOTS_PX, rows, int(not along_x))
    return np.asarray(
        np.einsum("nr,nc->nrc", down, across).reshape(known.x.size, rows * columns) / _KNOTS_PX, np.float64
    )


def _basis(at: FloatArray, count: int, derivative: int) -> FloatArray:
    """Cubic B-splines at points counted in knots: [n, count]; held within the grid."""
    at = np.clip(at, 0, count - 3 - 1e-9)
    cell = np.floor(at).astype(np.intp)
    t = at - cell
    if derivative:
        parts = [-((1 - t) ** 2), 3 * t**2 - 4 * t, -3 * t**2 + 2 * t + 1, t**2]
        values = np.stack(parts, 1) / 2
    else:
        parts = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
        values = np.stack(parts, 1) / 6
    basis = np.zeros((at.size, count))
    np.put_along_axis(basis, cell[:, None] + np.arange(4), values, axis=1)
    return basis


def _curvature(rows: int, columns: int) -> FloatArray:
    """Sum of squared second differences of coefficients along both axes, and across, as a matrix."""
    second = [np.diff(np.eye(size), 2, axis=0) for size in (rows, columns)]
    first = [np.diff(np.eye(size), 1, axis=0) for size in (rows, columns)]
    parts = (
        np.kron(second[0], np.eye(columns)),
        np.kron(np.eye(rows), second[1]),
        np.sqrt(2) * np.kron(first[0], first[1]),
    )
    return np.asarray(sum(part.T @ part for part in parts), np.float64)
