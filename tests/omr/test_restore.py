"""Restoring a page: what comes out is clean, level and of one bit."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from services.omr.restore import restore

Gray = NDArray[np.uint8]

STAVES = 6


def page() -> Gray:
    """A page of six staves, staff space 14 px, with heads, stems and beams."""
    image = np.full((1800, 1300), 255, np.uint8)
    for top in range(150, 150 + STAVES * 270, 270):
        for line in range(5):
            image[top + 14 * line : top + 14 * line + 2, 100:1200] = 0
        for index, x in enumerate(range(180, 1150, 60)):
            y = top + 7 * (index % 9)
            cv2.ellipse(image, (x, y), (8, 6), -20, 0, 360, 0, -1)
            image[y - 45 : y, x + 6 : x + 8] = 0
        image[top + 62 :: 270, 100:102] = 0
    return image


def poor_copy(image: Gray, tilt_degrees: float) -> Gray:
    """Tilt, blur, shade and speckle a page, and fade its ink."""
    height, width = image.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), tilt_degrees, 1)
    tilted = cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_AREA, borderValue=255)
    tilted = cv2.GaussianBlur(tilted, (0, 0), 0.8)
    random = np.random.default_rng(0)
    light = np.linspace(0.5, 0.9, width)[None] * np.linspace(1.0, 0.8, height)[:, None]
    poor = (90 + 165 * (tilted / 255.0)) * light + random.normal(0, 5, image.shape)
    specks = random.random(image.shape) < 0.0005
    return np.where(specks, 20, poor).clip(0, 255).astype(np.uint8)


def restored(gray: Gray) -> Gray:
    """Ink of the restored page, 1, and its paper, 0."""
    image = Image.open(io.BytesIO(restore(gray)))
    assert (image.format, image.mode) == ("PNG", "1")
    return 1 - np.asarray(image).astype(np.uint8)


def lines_in(ink: Gray) -> list[float]:
    """Heights of the rows that are mostly ink, neighbouring ones as one."""
    rows = np.flatnonzero(ink.mean(1) > 0.6)
    return [float(each.mean()) for each in np.split(rows, np.flatnonzero(np.diff(rows) > 3) + 1) if each.size]


@pytest.mark.parametrize("tilt_degrees", [0.0, 2.5, -1.2, 90.0])
def test_a_poor_copy_becomes_level_and_clean(tilt_degrees: float) -> None:
    copy = poor_copy(page(), tilt_degrees if abs(tilt_degrees) < 45 else 0.0)
    ink = restored(np.ascontiguousarray(np.rot90(copy)) if tilt_degrees == 90 else copy)
    columns = np.flatnonzero(ink.mean(0) > 0.02)
    staves = ink[:, columns[0] + 30 : columns[-1] - 30]
    lines = lines_in(staves)
    assert len(lines) == 5 * STAVES
    thirds = np.array_split(staves, 3, axis=1)
    for left, middle, right in zip(*(lines_in(third) for third in thirds), strict=True):
        assert max(left, middle, right) - min(left, middle, right) <= 2
    between = ink[int(lines[4]) + 100 : int(lines[5]) - 100]
    assert between.size > 0
    assert between.mean() < 0.001


def test_a_blank_page_stays_blank() -> None:
    blank = np.random.default_rng(0).normal(200, 4, (700, 500)).clip(0, 255).astype(np.uint8)
    assert restored(blank).mean() < 0.01


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (40, 30)])
def test_the_smallest_pictures_have_an_answer(shape: tuple[int, int]) -> None:
    assert restored(np.full(shape, 120, np.uint8)).size > 0
