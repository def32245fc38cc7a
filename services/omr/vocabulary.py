"""The symbols that can be found on a page, by their SMuFL names where SMuFL has one.

The order is the order of the model's outputs: it belongs to the tensor contract of `symbols`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class SymbolClass(StrEnum):
    """What a symbol is. Ends of ties and slurs, and letters of dynamics, are symbols of their own."""

    NOTEHEAD_BLACK = "noteheadBlack"
    NOTEHEAD_HALF = "noteheadHalf"
    NOTEHEAD_WHOLE = "noteheadWhole"
    REST_WHOLE = "restWhole"
    REST_HALF = "restHalf"
    REST_QUARTER = "restQuarter"
    REST_8TH = "rest8th"
    REST_16TH = "rest16th"
    REST_32ND = "rest32nd"
    REST_64TH = "rest64th"
    SHARP = "accidentalSharp"
    FLAT = "accidentalFlat"
    NATURAL = "accidentalNatural"
    DOUBLE_SHARP = "accidentalDoubleSharp"
    DOUBLE_FLAT = "accidentalDoubleFlat"
    G_CLEF = "gClef"
    G_CLEF_8VB = "gClef8vb"
    G_CLEF_8VA = "gClef8va"
    F_CLEF = "fClef"
    F_CLEF_8VB = "fClef8vb"
    C_CLEF = "cClef"
    AUGMENTATION_DOT = "augmentationDot"
    BARLINE_SINGLE = "barlineSingle"
    BARLINE_DOUBLE = "barlineDouble"
    BARLINE_FINAL = "barlineFinal"
    REPEAT_LEFT = "repeatLeft"
    REPEAT_RIGHT = "repeatRight"
    TIME_0 = "timeSig0"
    TIME_1 = "timeSig1"
    TIME_2 = "timeSig2"
    TIME_3 = "timeSig3"
    TIME_4 = "timeSig4"
    TIME_5 = "timeSig5"
    TIME_6 = "timeSig6"
    TIME_7 = "timeSig7"
    TIME_8 = "timeSig8"
    TIME_9 = "timeSig9"
    TIME_COMMON = "timeSigCommon"
    TIME_CUT = "timeSigCutCommon"
    TUPLET_2 = "tuplet2"
    TUPLET_3 = "tuplet3"
    TUPLET_4 = "tuplet4"
    TUPLET_5 = "tuplet5"
    TUPLET_6 = "tuplet6"
    TUPLET_7 = "tuplet7"
    TUPLET_9 = "tuplet9"
    FLAG_8TH = "flag8th"
    FLAG_16TH = "flag16th"
    FLAG_32ND = "flag32nd"
    STEM = "stem"
    BEAM = "beam"
    TIE_START = "tieStart"
    TIE_END = "tieEnd"
    SLUR_START = "slurStart"
    SLUR_END = "slurEnd"
    STACCATO = "articStaccato"
    ACCENT = "articAccent"
    TENUTO = "articTenuto"
    MARCATO = "articMarcato"
    FERMATA = "fermata"
    TRILL = "ornamentTrill"
    DYNAMIC_P = "dynamicPiano"
    DYNAMIC_M = "dynamicMezzo"
    DYNAMIC_F = "dynamicForte"
    DYNAMIC_S = "dynamicSforzando"
    OTTAVA = "ottava"
    BRACE = "brace"
    PEDAL = "keyboardPedalPed"
    PEDAL_UP = "keyboardPedalUp"


CLASSES: Final = tuple(SymbolClass)
CLASS_INDEX: Final = {each: index for index, each in enumerate(CLASSES)}

HEADS: Final = frozenset(CLASSES[0:3])
RESTS: Final = frozenset(CLASSES[3:10])
ACCIDENTALS: Final = frozenset(CLASSES[10:15])
CLEFS: Final = frozenset(CLASSES[15:21])
BARLINES: Final = frozenset(CLASSES[22:27])
TIME_FIGURES: Final = frozenset(CLASSES[27:39])
TUPLET_FIGURES: Final = frozenset(CLASSES[39:46])
FLAGS: Final = frozenset(CLASSES[46:49])

#: Undotted note values that a head or rest can have, longest first, in quarter notes: whole to 64th.
VALUES_QUARTERS: Final = (4.0, 2.0, 1.0, 0.5, 0.25, 0.125, 0.0625)

#: Directions of a stem, as the model tells them.
STEM_NONE, STEM_UP, STEM_DOWN = 0, 1, 2

#: What tuplet a head or rest belongs to, as the model tells it: none, one of three in the time of two (a
#: sextuplet counts as two triplets), or any other.
TUPLET_NONE, TUPLET_TRIPLET, TUPLET_OTHER = 0, 1, 2
