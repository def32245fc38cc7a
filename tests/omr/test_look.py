"""How a page looks, measured on one page changed in known ways."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.client.demo import PAGE
from services.omr.assembly.recognition import (
    Box,
    FoundMeasure,
    FoundPage,
    FoundStaff,
    FoundSymbol,
    FoundSystem,
    Role,
)
from services.omr.look import PageLook, look_at
from services.omr.profile import EDGES, measure
from services.omr.straighten import prepare
from services.omr.vocabulary import SymbolClass

Gray = NDArray[np.uint8]


def looked(picture: Gray) -> PageLook:
    return look_at(picture, prepare(picture))


@pytest.fixture(scope="module")
def page() -> Gray:
    picture = cv2.imread(str(PAGE), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return np.asarray(picture, np.uint8)


@pytest.fixture(scope="module")
def look(page: Gray) -> PageLook:
    return looked(page)


def test_twice_the_size_has_twice_the_staff_space(page: Gray, look: PageLook) -> None:
    large = np.asarray(cv2.resize(page, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)
    assert looked(large).staff_space_px == pytest.approx(2 * look.staff_space_px, rel=0.01)


def test_a_turn_is_told_in_degrees(page: Gray, look: PageLook) -> None:
    height, width = page.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 3.0, 1.0)
    turned = np.asarray(cv2.warpAffine(page, turn, (width, height), borderValue=255), np.uint8)
    assert abs(looked(turned).tilt_deg - 3.0) <= look.tilt_deg + 0.2


def test_perspective_bends(page: Gray, look: PageLook) -> None:
    height, width = page.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners + np.array([[0, 0], [0, 0], [-60, 0], [60, 0]], np.float32)
    seen = cv2.warpPerspective(
        page, cv2.getPerspectiveTransform(corners, moved), (width, height), borderValue=255
    )
    assert looked(np.asarray(seen, np.uint8)).bend_spaces > look.bend_spaces + 0.2


def test_a_shadow_makes_the_paper_uneven(page: Gray, look: PageLook) -> None:
    shadow = np.linspace(1.0, 0.5, page.shape[1])
    dimmed = looked((page * shadow).astype(np.uint8)).unevenness
    assert look.unevenness < 0.1
    assert dimmed == pytest.approx(0.5, abs=0.1)


def test_black_and_white_has_no_midtones_and_more_ink_is_more_ink(page: Gray, look: PageLook) -> None:
    fine = looked(np.where(page > 100, 255, 0).astype(np.uint8))
    bold = looked(np.where(cv2.erode(page, np.ones((3, 3), np.uint8)) > 128, 255, 0).astype(np.uint8))
    assert fine.midtone_share == bold.midtone_share == 0 < look.midtone_share
    assert bold.ink_share > 1.3 * fine.ink_share


def test_blur_widens_edges(page: Gray, look: PageLook) -> None:
    assert looked(np.asarray(cv2.GaussianBlur(page, (0, 0), 2.0), np.uint8)).edge_px > 1.3 * look.edge_px


def test_a_blank_page_is_measured_and_tells_nothing_of_staves() -> None:
    blank = np.full((600, 400), 255, np.uint8)
    observed = measure(looked(blank), FoundPage((400, 600), (), ()))
    profile = observed.features
    assert observed.checks == {"staves_found": (0, 1), "measures_add_up": (0, 0)}
    assert profile["ink_share"][0] == 1
    for feature in ("staff_space_px", "tilt_deg", "bend_spaces", "symbols_per_staff", "confidence"):
        assert sum(profile[feature]) == 0


def test_each_feature_of_a_page_with_staves_has_a_mass_of_one(look: PageLook) -> None:
    box = Box(0, 0, 10, 10)
    measures = tuple(FoundMeasure(n, n, box, Fraction(4), n < 3) for n in range(4))
    found = FoundPage(
        (400, 600),
        (FoundSystem(box, (FoundStaff(box, 0, 1), FoundStaff(box, 0, 2)), measures),),
        tuple(FoundSymbol(SymbolClass.STEM, box, confidence, Role.STEM) for confidence in (0.55, 0.97)),
    )
    observed = measure(look, found)
    assert observed.checks == {"staves_found": (1, 1), "measures_add_up": (3, 4)}
    profile = observed.features
    assert set(profile) == set(EDGES)
    for feature, masses in profile.items():
        assert len(masses) == len(EDGES[feature]) + 1
        assert sum(masses) == pytest.approx(1)
    assert profile["confidence"][2] == profile["confidence"][-1] == 0.5
    assert profile["symbols_per_staff"][0] == 1
