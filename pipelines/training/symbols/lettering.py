"""Lettering that says nothing of the notes: fingerings, titles, words. The detector is to leave it alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipelines.training.symbols.damage import Ink

_FOLDER: Final = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
_FONTS: Final = (
    "STIXGeneralBol.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralBolIta.ttf",
    "STIXGeneralItalic.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSans-Bold.ttf",
    "cmr10.ttf",
    "cmb10.ttf",
)
_LETTERS: Final = "ABCDEFGHIKLMNOPRSTUVWZabcdefghiklmnoprstuvwz.,:-"
#: Sizes in px that a font is drawn at, so that few fonts are loaded.
_SIZE_STEP: Final = 3
#: Words are put only where less than this share of the paper is inked; fingerings also on staff lines.
_FREE: Final = 0.03
_ON_LINES: Final = 0.22


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_FOLDER / name, size)


def _drawn(
    random: np.random.Generator, text: str, height: float, *, stroke: int = 0, outlined: bool = False
) -> Ink:
    """A text's ink, cut to its edges; `height` is the font's size, `stroke` what makes it bolder, in px."""
    size = max(6, _SIZE_STEP * round(height / _SIZE_STEP))
    font = _font(_FONTS[int(random.integers(len(_FONTS)))], size)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text, stroke_width=max(1, stroke)))
    picture = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    draw = ImageDraw.Draw(picture)
    if outlined:
        draw.text((-left, -top), text, 0, font, stroke_width=1, stroke_fill=255)
    else:
        draw.text((-left, -top), text, 255, font, stroke_width=stroke)
    return np.asarray(picture, np.float32) / 255


def _put(ink: Ink, drawn: Ink, x: float, y: float, free: float) -> None:
    """Add lettering around a centre, if it lies inside and less than the share `free` there is inked."""
    height, width = drawn.shape
    top, left = int(y - height / 2), int(x - width / 2)
    if top < 0 or left < 0 or top + height > ink.shape[0] or left + width > ink.shape[1]:
        return
    there = ink[top : top + height, left : left + width]
    if there.mean() < free:
        np.maximum(there, drawn, out=there)


def fingerings(random: np.random.Generator, ink: Ink, heads: NDArray[np.floating], space_px: float) -> None:
    """Digits above and below some notes.

    Args:
        random: decides all.
        ink: [S, S], changed in place.
        heads: centres [n, 2] in px of `ink`.
        space_px: staff space in px of `ink`.
    """
    size = random.uniform(1.3, 2.4) * space_px
    # As bold as old engravers' punches.
    stroke = round(random.choice((0.0, 0.0, 0.08, 0.14)) * space_px)
    for x, y in heads[random.random(len(heads)) < random.uniform(0.15, 0.7)]:
        digit = str(random.choice(list("12345123456")))
        away = random.uniform(1.4, 4.5) * space_px * random.choice((-1, 1))
        drawn = _drawn(random, digit, size, stroke=stroke)
        _put(ink, drawn, x + random.normal(0, 0.2) * space_px, y + away, _ON_LINES)


def words(random: np.random.Generator, ink: Ink, space_px: float) -> None:
    """Words and titles, wherever there is room; arguments as in `fingerings`."""
    for _ in range(int(random.integers(2, 14))):
        letters = random.choice(list(_LETTERS), int(random.integers(2, 12)))
        size = random.uniform(1.5, 3.0) if random.random() < 0.6 else random.uniform(3.0, 7.0)
        drawn = _drawn(random, "".join(letters), size * space_px, outlined=bool(random.random() < 0.15))
        x, y = random.uniform(0, len(ink), 2)
        _put(ink, drawn, x, y, _FREE)
