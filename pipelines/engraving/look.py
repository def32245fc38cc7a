"""How an edition looks: Verovio's options for an engraver's hand."""

from __future__ import annotations

from random import Random
from typing import Any

from pipelines.engraving.outlines import FONTS

#: Px to a staff space at a scale of 100.
SPACE_AT_FULL_SCALE = 18.0

#: Keys to which a score is moved now and then, as intervals.
_TRANSPOSITIONS = ("M2", "-M2", "m3", "-m3", "P4", "-P4", "m2", "-m2", "M3", "-M3")

#: Lengths that vary evenly between two limits, mostly in half staff spaces (`unit` of Verovio).
_LENGTHS = {
    "staffLineWidth": (0.10, 0.24),
    "stemWidth": (0.12, 0.32),
    "barLineWidth": (0.18, 0.45),
    "barLineSeparation": (0.6, 1.2),
    "thickBarlineThickness": (0.7, 2.0),
    "repeatBarLineDotSeparation": (0.25, 0.6),
    "ledgerLineThickness": (0.16, 0.38),
    "ledgerLineExtension": (0.3, 0.75),
    "slurMidpointThickness": (0.3, 0.9),
    "slurEndpointThickness": (0.05, 0.22),
    "slurCurveFactor": (0.6, 1.8),
    "slurMargin": (0.5, 2.0),
    "tieMidpointThickness": (0.3, 0.8),
    "tieEndpointThickness": (0.05, 0.22),
    "tupletBracketThickness": (0.12, 0.4),
    "hairpinThickness": (0.12, 0.4),
    "octaveLineThickness": (0.12, 0.4),
    "repeatEndingLineThickness": (0.1, 0.5),
    "spacingNonLinear": (0.45, 0.68),
    "graceFactor": (0.6, 0.8),
    "fingeringScale": (0.55, 0.9),
    "lyricSize": (3.2, 5.2),
    "dynamDist": (0.5, 2.5),
    "hairpinSize": (2.0, 4.0),
    "leftMarginNote": (0.6, 1.2),
    "rightMarginAccid": (0.2, 0.8),
    "leftMarginAccid": (0.4, 1.0),
    "beamMixedStemMin": (3.0, 4.5),
}

#: Habits that an engraver has or has not, and how often.
_HABITS = {
    "beamFrenchStyle": 0.07,
    "beamMixedPreserve": 0.3,
    "justifyVertically": 0.5,
    "staccatoCenter": 0.3,
    "tupletNumHead": 0.3,
    "tupletAngledOnBeams": 0.3,
    "dynamSingleGlyphs": 0.3,
    "octaveAlternativeSymbols": 0.5,
    "octaveNoSpanningParentheses": 0.5,
    "graceRightAlign": 0.3,
    "evenNoteSpacing": 0.04,
}


def random_look(random: Random) -> dict[str, Any]:
    """Options of Verovio for one engraver's look: fonts, thicknesses, spacing, the page's shape.

    Pages of old editions are 85 to 195 staff spaces wide; spacing goes from crowded to generous.
    """
    width = random.triangular(85, 195, 125) * SPACE_AT_FULL_SCALE
    look: dict[str, Any] = {
        "pageWidth": int(width),
        "pageHeight": int(width * random.uniform(1.05, 1.42)),
        "pageMarginLeft": random.randint(20, 200),
        "pageMarginRight": random.randint(20, 160),
        "pageMarginTop": random.randint(50, 200),
        "pageMarginBottom": random.randint(50, 200),
        "header": random.choice(("none", "auto")),
        "footer": "none",
        "breaks": "auto",
        "font": random.choice(FONTS),
        "beamMaxSlope": random.choice((0, 5, 10, 15, 20)),
        "slurMaxSlope": random.choice((30, 45, 60)),
        "spacingLinear": random.triangular(0.1, 0.36, 0.18),
        "spacingStaff": random.randint(6, 16),
        "spacingSystem": random.randint(3, 16),
        "measureMinWidth": random.randint(5, 15),
        "mnumInterval": random.choice((0, 0, 0, 0, 1, 5, 10)),
        "pedalStyle": random.choice(("auto", "pedstar", "altpedstar")),
    }
    look |= {name: random.uniform(*limits) for name, limits in _LENGTHS.items()}
    look |= {name: random.random() < share for name, share in _HABITS.items()}
    if random.random() < 0.15:
        look["transpose"] = random.choice(_TRANSPOSITIONS)
    return look
