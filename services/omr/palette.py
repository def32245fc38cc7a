"""Colours of the overlay: equally light and equally strong, told apart by hue alone.

Colours are made in OKLCH (Björn Ottosson, "A perceptual color space for image processing", 2020), so that
no pitch, staff or value stands out over another. Every colour comes as a pair: `tint` for paper and `ink` for
what is printed on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.music.score import NoteType

_TINT_LIGHTNESS, _TINT_CHROMA = 0.87, 0.11
_INK_LIGHTNESS, _INK_CHROMA = 0.50, 0.17

#: OKLab to the cube roots of cone responses, and these, cubed, to linear sRGB (Ottosson 2020).
_TO_CONES: Final = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_TO_LINEAR_RGB: Final = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


class ColourBy(StrEnum):
    """What the colour of a note tells."""

    PITCH = "pitch"
    STAFF = "staff"
    DURATION = "duration"
    CONFIDENCE = "confidence"


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours with what they stand for, in the legend's order.

    Attributes:
        labels: a word or two for each colour, ASCII.
        tints: uint8 [colours, 3], blue, green, red: the colour of paper under a mark.
        inks: uint8 [colours, 3]: the colour of ink under a mark.
    """

    labels: tuple[str, ...]
    tints: NDArray[np.uint8]
    inks: NDArray[np.uint8]


#: Pitch classes by fifths, so that keys show as runs of neighbouring hues.
_FIFTHS: Final = ("C", "G", "D", "A", "E", "B", "F#/Gb", "Db/C#", "Ab/G#", "Eb/D#", "Bb/A#", "F")
_VALUES: Final = ("grace", "64th", "32nd", "16th", "eighth", "quarter", "half", "whole")
CONFIDENCE_STEPS: Final = 10
_RED_HUE, _BLUE_HUE = 27.0, 255.0


def pitch_palette() -> Palette:
    """Twelve hues around the circle of fifths; index is `fifths_index`."""
    return _palette(_FIFTHS, np.arange(12) * 30.0 + _RED_HUE)


def fifths_index(midi: int) -> int:
    """Place of a MIDI pitch on the circle of fifths: C is 0, G is 1, F is 11."""
    return midi * 7 % 12


def staff_palette(labels: tuple[str, ...]) -> Palette:
    """As many hues as staves, neighbours far apart by the golden angle."""
    return _palette(labels, np.arange(len(labels)) * 137.508 + _BLUE_HUE)


def duration_palette() -> Palette:
    """From short (red) to long (blue); index is `duration_index`."""
    return _palette(_VALUES, np.linspace(_RED_HUE, _BLUE_HUE, len(_VALUES)))


def duration_index(kind: NoteType, grace: bool) -> int:
    """Index in `duration_palette` of a written value; a breve counts as a whole note, a 128th as a 64th."""
    if grace:
        return 0
    return int(np.clip(_VALUES.index("whole") + 1 - list(NoteType).index(kind), 1, len(_VALUES) - 1))


def confidence_palette() -> Palette:
    """From unsure (red) to sure (blue); index is `confidence_index`."""
    labels = tuple(f"{step / CONFIDENCE_STEPS:.1f}" for step in range(CONFIDENCE_STEPS))
    return _palette(labels, np.linspace(_RED_HUE, _BLUE_HUE, CONFIDENCE_STEPS))


def confidence_index(confidence: float) -> int:
    """Index in `confidence_palette` of a confidence, 0 to 1."""
    return int(np.clip(confidence * CONFIDENCE_STEPS, 0, CONFIDENCE_STEPS - 1))


def _palette(labels: tuple[str, ...], hues: NDArray[np.floating]) -> Palette:
    return Palette(labels, _bgr(_TINT_LIGHTNESS, _TINT_CHROMA, hues), _bgr(_INK_LIGHTNESS, _INK_CHROMA, hues))


def _bgr(lightness: float, chroma: float, hues: NDArray[np.floating]) -> NDArray[np.uint8]:
    """OKLCH (hues in degrees) in sRGB, as OpenCV orders it; clipped to what a screen can show."""
    angles = np.deg2rad(hues)
    lab = np.stack((np.full(len(hues), lightness), chroma * np.cos(angles), chroma * np.sin(angles)), 1)
    linear = np.clip((lab @ _TO_CONES.T) ** 3 @ _TO_LINEAR_RGB.T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(encoded[:, ::-1] * 255), np.uint8)
