"""The page coloured: every note on the page that was uploaded, in the colour of its pitch, staff, value or
confidence; every other symbol in a thin box; what the colours mean in a strip below.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.omr.assembly.recognition import Box, FoundNote, FoundSymbol, Recognition, Role
from services.omr.palette import (
    ColourBy,
    Palette,
    confidence_index,
    confidence_palette,
    duration_index,
    duration_palette,
    fifths_index,
    pitch_palette,
    staff_palette,
)

#: A mark reaches so far beyond the head, in heights of a head: black heads need paper around to show colour.
_MARGIN_HEADS: Final = 0.45
_BOX_COLOUR: Final = (150, 120, 90)  # blue, green, red
_UNUSED_COLOUR: Final = (190, 190, 190)
_LEGEND_INK: Final = (60, 60, 60)
#: Symbols that are not boxed: too thin or too many to be worth a box.
_UNBOXED: Final = frozenset({Role.STEM, Role.BEAM})
#: Printed pages compress as well unfiltered, in a fraction of the default's time.
_PNG: Final = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 2),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE),
)


def overlay_png(
    picture: NDArray[np.uint8], recognition: Recognition, page: int, colour_by: ColourBy = ColourBy.PITCH
) -> bytes:
    """The coloured page as a PNG, below it a strip with the legend.

    Args:
        picture: uint8 [height, width, 3], red, green, blue: the page as uploaded, or a smaller picture of it.
        recognition: what was found.
        page: index of the page in `recognition.pages`.
        colour_by: what the colours tell.
    """
    encoded, buffer = cv2.imencode(".png", draw_overlay(picture, recognition, page, colour_by), _PNG)
    if not encoded:
        raise RuntimeError("OpenCV could not write a PNG.")
    return buffer.tobytes()


def draw_overlay(
    picture: NDArray[np.uint8], recognition: Recognition, page: int, colour_by: ColourBy = ColourBy.PITCH
) -> NDArray[np.uint8]:
    """The coloured page, uint8 [height + legend, width, 3], blue, green, red; arguments of `overlay_png`."""
    notes = [note for note in recognition.notes if note.page == page]
    palette, indices = _coloured(recognition, notes, colour_by)
    drawn = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
    heads = {note.symbol for note in notes}
    found = recognition.pages[page]
    others = [symbol for index, symbol in enumerate(found.symbols) if index not in heads]
    scale = picture.shape[1] / found.size[0], picture.shape[0] / found.size[1]
    _draw_boxes(drawn, [replace(symbol, box=_scaled(symbol.box, scale)) for symbol in others])
    _draw_marks(drawn, grey, [_scaled(note.box, scale) for note in notes], indices, palette)
    return np.concatenate((drawn, _legend(picture.shape[1], palette, set(indices))))


def _scaled(box: Box, scale: tuple[float, float]) -> Box:
    across, down = scale
    return Box(box.x * across, box.y * down, box.width * across, box.height * down)


def _coloured(
    recognition: Recognition, notes: Sequence[FoundNote], colour_by: ColourBy
) -> tuple[Palette, list[int]]:
    """The palette and each note's index in it."""
    match colour_by:
        case ColourBy.PITCH:
            return pitch_palette(), [fifths_index(note.pitch.midi) for note in notes]
        case ColourBy.DURATION:
            return duration_palette(), [duration_index(note.kind, note.grace) for note in notes]
        case ColourBy.CONFIDENCE:
            return confidence_palette(), [confidence_index(note.confidence) for note in notes]
        case ColourBy.STAFF:
            staves = sorted({(note.part, note.staff) for note in recognition.notes})
            labels = tuple(f"part {part + 1} staff {staff}" for part, staff in staves)
            return staff_palette(labels), [staves.index((note.part, note.staff)) for note in notes]


def _draw_boxes(drawn: NDArray[np.uint8], symbols: Iterable[FoundSymbol]) -> None:
    """Thin boxes around symbols, in place, under the ink; what assembly had no use for in grey."""
    thickness = max(1, round(drawn.shape[1] / 1800))
    boxes = np.full_like(drawn, 255)
    for symbol in symbols:
        if symbol.role in _UNBOXED:
            continue
        box = symbol.box
        left, top = round(box.x) - thickness, round(box.y) - thickness
        right, bottom = round(box.x + box.width) + thickness, round(box.y + box.height) + thickness
        colour = _UNUSED_COLOUR if symbol.role is Role.UNUSED else _BOX_COLOUR
        cv2.rectangle(boxes, (left, top), (right, bottom), colour, thickness)
    cv2.min(drawn, boxes, dst=drawn)


def _draw_marks(
    drawn: NDArray[np.uint8],
    grey: NDArray[np.uint8],
    boxes: Sequence[Box],
    indices: Sequence[int],
    palette: Palette,
) -> None:
    """Colour the ellipses around `boxes`, in place: paper takes the tint, ink the dark colour.

    The marks are first drawn into a layer of colour numbers, so that the page is coloured in one look-up and
    marks that overlap do not darken one another.
    """
    layer = np.zeros(grey.shape, np.uint16)
    for box, index in zip(boxes, indices, strict=True):
        margin = _MARGIN_HEADS * box.height
        centre = round(box.x + box.width / 2), round(box.y + box.height / 2)
        axes = max(1, round(box.width / 2 + margin)), max(1, round(box.height / 2 + margin))
        cv2.ellipse(layer, centre, axes, 0, 0, 360, index + 1, cv2.FILLED)
    inside = np.nonzero(layer)
    light = np.linspace(0, 1, 256)[None, :, None]
    shades = palette.inks[:, None, :] * (1 - light) + palette.tints[:, None, :] * light
    drawn[inside] = np.round(shades).astype(np.uint8)[layer[inside] - 1, grey[inside]]


def _legend(width: int, palette: Palette, used: set[int]) -> NDArray[np.uint8]:
    """A strip, uint8 [about a fiftieth of width, width, 3]: a swatch and a label for each colour in use."""
    height = max(16, width // 45)
    strip = np.full((height, width, 3), 255, np.uint8)
    shown = sorted(used)
    if not shown:
        return strip
    cell = min(width // len(shown), height * 6)
    scale = height / 55
    thickness = max(1, round(height / 28))
    for place, index in enumerate(shown):
        left, radius = place * cell, height // 3
        centre = left + height // 2, height // 2
        cv2.circle(strip, centre, radius, palette.tints[index].tolist(), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(strip, centre, radius // 2, palette.inks[index].tolist(), cv2.FILLED, cv2.LINE_AA)
        foot = left + height, height // 2 + round(11 * scale)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(strip, palette.labels[index], foot, font, scale, _LEGEND_INK, thickness, cv2.LINE_AA)
    return strip
