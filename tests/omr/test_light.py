"""Even light: shadows, faded ink and negatives, on pages whose clean picture is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.omr.light import even_light

Gray = NDArray[np.uint8]


def clean_page(height: int = 900, width: int = 700) -> Gray:
    """Staves of 10 px with heads, stems and a thick beam, edges softened as an engraver's are."""
    page = np.full((2 * height, 2 * width), 255, np.uint8)
    for top in range(200, 2 * height - 300, 320):
        for line in range(5):
            page[top + 20 * line : top + 20 * line + 3, 100 : 2 * width - 100] = 0
        for x in range(200, 2 * width - 200, 90):
            cv2.ellipse(page, (x, top + x % 80), (12, 9), -20, 0, 360, 0, -1)
            page[top + x % 80 - 60 : top + x % 80, x + 10 : x + 13] = 0
        page[top - 40 : top - 30, 300:800] = 0
    return np.asarray(cv2.resize(page, (width, height), interpolation=cv2.INTER_AREA))


CLEAN = clean_page()


def error(page: Gray) -> float:
    """Mean absolute difference from the clean page, 0 to 255."""
    return float(np.abs(even_light(page).astype(int) - CLEAN).mean())


def test_a_clean_page_stays_as_it_is() -> None:
    assert np.array_equal(even_light(CLEAN), CLEAN)


def test_a_shadow_goes() -> None:
    y, x = np.mgrid[0 : CLEAN.shape[0], 0 : CLEAN.shape[1]]
    light = 0.95 - 0.5 / (1 + np.exp(-(x + 0.5 * y - 600) / 60))
    shaded = (CLEAN * light).astype(np.uint8)
    assert np.abs(shaded.astype(int) - CLEAN).mean() > 40
    assert error(shaded) < 2
    assert np.percentile(even_light(shaded), 80) == 255


@pytest.mark.parametrize("ink", [40, 90, 130])
def test_faded_ink_on_yellowed_paper_becomes_black_on_white(ink: int) -> None:
    grain = np.random.default_rng(0).normal(0, 3, CLEAN.shape)
    faded = (ink + (220 - ink) * (CLEAN / 255.0) + grain).clip(0, 255).astype(np.uint8)
    assert error(faded) < 4
    heads = CLEAN == 0
    assert np.median(even_light(faded)[heads]) < 12


def test_soft_edges_stay_soft() -> None:
    soft = (CLEAN > 60) & (CLEAN < 200)
    shaded = (60 + 0.6 * CLEAN).astype(np.uint8)
    assert np.abs(even_light(shaded)[soft].astype(int) - CLEAN[soft]).mean() < 6


def test_a_negative_is_turned() -> None:
    assert np.array_equal(even_light(255 - CLEAN), CLEAN)


def test_a_dark_table_around_the_page_stays_apart() -> None:
    photo = np.full((1300, 1100), 50, np.uint8)
    photo[200:1100, 200:900] = (CLEAN * 0.8).astype(np.uint8)
    even = even_light(photo)
    assert np.abs(even[230:1070, 230:870].astype(int) - CLEAN[30:-30, 30:-30]).mean() < 2
    assert np.median(even[:150]) < 180


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 255), st.integers(0, 2**32 - 1))
def test_any_picture_has_an_answer(height: int, width: int, level: int, seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, level + 1, (height, width), dtype=np.uint8)
    for page in (np.full((height, width), level, np.uint8), noise):
        even = even_light(page)
        assert even.shape == page.shape
        assert even.dtype == np.uint8
