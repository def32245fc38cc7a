"""Straightening and finding staves, on drawn pages bent in known ways."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.omr.contract import STAFF_SPACE_PX
from services.omr.page import PreparedPage, System
from services.omr.pictures import picture
from services.omr.scale import find_scale
from services.omr.straighten import GRID_PX, prepare
from services.omr.systems import find_systems

Gray = NDArray[np.uint8]
Floats = NDArray[np.float64]

SPACE = 14
HEIGHT, WIDTH = 1600, 1250
LEFT, RIGHT = 120, 1130
#: Middle lines of three systems of a voice and a piano.
MIDDLES = ((220, 350, 480), (680, 810, 940), (1140, 1270, 1400))


def drawn_page() -> Gray:
    """Three systems of three staves with heads and stems; barlines run through the lower two of each."""
    page = np.full((HEIGHT, WIDTH), 255, np.uint8)
    random = np.random.default_rng(1)
    for system in MIDDLES:
        for middle in system:
            for line in range(-2, 3):
                cv2.line(page, (LEFT, middle + line * SPACE), (RIGHT, middle + line * SPACE), 0, 1)
            cv2.ellipse(page, (LEFT + 25, middle), (10, 3 * SPACE), 0, 0, 360, 0, 5)  # a clef, or the like
            for x in range(LEFT + 60, RIGHT - 30, 46):
                y = int(middle + random.integers(-5, 6) * SPACE / 2)
                cv2.ellipse(page, (x, y), (9, 6), -20, 0, 360, 0, -1)
                cv2.line(page, (x + 8, y), (x + 8, y - 45), 0, 2)
        top, bottom = system[0] - 2 * SPACE, system[2] + 2 * SPACE
        cv2.line(page, (LEFT, top), (LEFT, bottom), 0, 2)
        for x in (LEFT + 340, LEFT + 680, RIGHT):
            cv2.line(page, (x, top), (x, system[0] + 2 * SPACE), 0, 2)
            cv2.line(page, (x, system[1] - 2 * SPACE), (x, bottom), 0, 2)
    return page


PAGE = drawn_page()


def bent(page: Gray, tilt: float, keystone: float, curl: float) -> tuple[Gray, Floats]:
    """The page as a camera sees it, and where the points of its middle lines then are: [9, n, 2].

    Args:
        tilt: y over x.
        keystone: how much smaller the right edge is than the left.
        curl: height of one wave across the page, in px.
    """
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)

    def to_page(x: Floats, y: Floats) -> tuple[Floats, Floats]:
        shrink = 1 + keystone * x / WIDTH
        middle = HEIGHT / 2
        from_y = middle + (y - middle) * shrink - tilt * (x - WIDTH / 2) + curl * np.sin(2.5 * x / WIDTH)
        return x + tilt * (y - middle), from_y

    from_x, from_y = to_page(columns, rows)
    picture = cv2.remap(
        page, from_x.astype(np.float32), from_y.astype(np.float32), cv2.INTER_LINEAR, borderValue=255
    )
    points = np.empty((9, 50, 2))
    for index, middle in enumerate(np.ravel(MIDDLES)):
        goal = np.stack([np.linspace(LEFT - 20, RIGHT + 20, 50), np.full(50, float(middle))], 1)
        found = goal.copy()
        for _ in range(30):
            moved = np.stack(to_page(found[:, 0], found[:, 1]), 1)
            found += goal - moved
        points[index] = found
    return np.asarray(picture, np.uint8), points


def in_upload(page: PreparedPage, x: Floats, y: Floats) -> Floats:
    """Points of the prepared page in px of the upload, [n, 2]."""
    at = [(y / page.grid_px).astype(np.float32)[None], (x / page.grid_px).astype(np.float32)[None]]
    mapped = [cv2.remap(each, at[1], at[0], cv2.INTER_LINEAR)[0] for each in (page.upload_x, page.upload_y)]
    return np.stack(mapped, 1)


def staves_of(systems: tuple[System, ...]) -> list[int]:
    return [len(system.staves) for system in systems]


@pytest.mark.parametrize(
    ("tilt", "keystone", "curl"),
    [(0.0, 0.0, 0.0), (0.03, 0.0, 0.0), (-0.12, 0.0, 0.0), (0.02, 0.15, 0.0), (0.01, 0.08, 12.0)],
)
def test_staves_are_found_where_they_are_however_the_page_is_bent(
    tilt: float, keystone: float, curl: float
) -> None:
    picture, truth = bent(PAGE, tilt, keystone, curl)
    page = prepare(picture)
    systems = find_systems(page, None, ())
    assert staves_of(systems) == [3, 3, 3]
    for staff, points in zip((staff for each in systems for staff in each.staves), truth, strict=True):
        x = np.linspace(staff.x[0] + 10, staff.x[-1] - 10, 60)
        there = in_upload(page, x, np.array([staff.y_at(each) for each in x]))
        error = there[:, 1] - np.interp(there[:, 0], points[:, 0], points[:, 1])
        assert np.abs(error).max() < 0.15 * SPACE
        assert np.ptp(staff.y) < STAFF_SPACE_PX


def test_the_staff_space_of_the_prepared_page_is_ten_px() -> None:
    page = prepare(bent(PAGE, 0.02, 0.12, 0.0)[0])
    for system in find_systems(page, None, ()):
        for staff in system.staves:
            for x in (staff.x[0] + 40, staff.x[-1] - 40):
                column = page.image[:, int(x) - 8 : int(x) + 8].mean(1)
                middle = staff.y_at(float(x))
                reach = np.arange(8.5, 11.6, 0.1)
                outer = [
                    float(
                        np.interp(middle + np.array([-2, 2]) * space, np.arange(column.size), column).mean()
                    )
                    for space in reach
                ]
                assert reach[int(np.argmin(outer))] == pytest.approx(STAFF_SPACE_PX, rel=0.08)


def test_voice_and_piano_are_two_parts() -> None:
    systems = find_systems(prepare(PAGE), None, ())
    assert [system.groups for system in systems] == [((0, 0), (1, 2))] * 3


def test_staves_of_a_system_begin_and_end_together_where_their_lines_do() -> None:
    page = prepare(PAGE)
    for system in find_systems(page, None, ()):
        for staff in system.staves:
            ends = in_upload(page, staff.x[[0, -1]], staff.y[[0, -1]])
            assert ends[0, 0] == pytest.approx(LEFT, abs=SPACE / 2)
            assert ends[1, 0] == pytest.approx(RIGHT, abs=SPACE / 2)


@pytest.mark.parametrize(("turns", "upper_left"), [(1, (0, WIDTH)), (2, (WIDTH, HEIGHT)), (3, (HEIGHT, 0))])
def test_a_turned_page_is_turned_back(turns: int, upper_left: tuple[int, int]) -> None:
    turned = np.ascontiguousarray(np.rot90(PAGE, turns))
    page = prepare(turned)
    assert page.upload_size == turned.shape[::-1]
    assert (page.upload_x[0, 0], page.upload_y[0, 0]) == pytest.approx(upper_left, abs=4 * SPACE)
    assert sum(staves_of(find_systems(page, None, ()))) == 9


@pytest.mark.parametrize("turns", [0, 2])
def test_clefs_tell_which_way_up_a_page_is_though_it_is_black_at_the_right(turns: int) -> None:
    page = PAGE.copy()
    large = cv2.resize(picture("g-clef"), None, fx=SPACE / 10, fy=SPACE / 10).astype(np.uint8)
    above = round(44 * SPACE / 10)
    for middle in np.ravel(MIDDLES):
        page[middle - 4 * SPACE : middle + 4 * SPACE, LEFT + 4 : LEFT + 50] = 255
        part = page[middle - above : middle - above + large.shape[0], LEFT + 6 : LEFT + 6 + large.shape[1]]
        np.minimum(part, large, out=part)
        for x in (RIGHT - 40, RIGHT - 22):  # chords of many notes
            for step in range(-4, 5):
                cv2.ellipse(page, (x, middle + step * SPACE // 2), (9, 6), -20, 0, 360, 0, -1)
    found = prepare(np.ascontiguousarray(np.rot90(page, turns)))
    corner = (WIDTH, HEIGHT) if turns else (0, 0)
    assert (found.upload_x[0, 0], found.upload_y[0, 0]) == pytest.approx(corner, abs=4 * SPACE)


def test_broken_lines_are_found_by_how_they_repeat() -> None:
    random = np.random.default_rng(5)
    broken = PAGE.copy()
    lines = cv2.subtract(255 - PAGE, cv2.morphologyEx(255 - PAGE, cv2.MORPH_OPEN, np.ones((4, 1), np.uint8)))
    dashes = np.repeat(random.random((HEIGHT, WIDTH // 10)) < 0.25, 10, axis=1)
    broken[(lines > 0) & ~dashes] = 255
    scale = find_scale(broken)
    assert scale is not None
    assert scale.space_px == pytest.approx(SPACE, rel=0.03)
    assert len([staff for each in find_systems(prepare(broken), None, ()) for staff in each.staves]) == 9


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2), (50, 50), (700, 500), (200, 33_000)])
@pytest.mark.parametrize("shade", [0, 255])
def test_pictures_without_anything_have_no_staves(shape: tuple[int, int], shade: int) -> None:
    page = prepare(np.full(shape, shade, np.uint8))
    assert page.image.dtype == np.uint8
    assert page.upload_size == shape[::-1]
    assert page.upload_x.shape == page.upload_y.shape
    assert page.grid_px == GRID_PX
    assert find_systems(page, None, ()) == ()
