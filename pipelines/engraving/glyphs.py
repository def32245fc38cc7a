"""Glyphs of music fonts: which symbol a SMuFL code stands for, and the box of a glyph's outline.

Codes are those of the SMuFL specification, https://w3c.github.io/smufl.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from services.omr.vocabulary import SymbolClass as S

Box = tuple[float, float, float, float]

_SINGLE: Final[Mapping[str, S]] = {
    "E0A4": S.NOTEHEAD_BLACK, "E0A3": S.NOTEHEAD_HALF, "E0A2": S.NOTEHEAD_WHOLE, "E0A0": S.NOTEHEAD_WHOLE,
    "E4E2": S.REST_WHOLE, "E4E3": S.REST_WHOLE, "E4F4": S.REST_WHOLE, "E4E4": S.REST_HALF,
    "E4F5": S.REST_HALF, "E4E5": S.REST_QUARTER, "E4E6": S.REST_8TH, "E4E7": S.REST_16TH,
    "E4E8": S.REST_32ND, "E4E9": S.REST_64TH,
    "E262": S.SHARP, "E260": S.FLAT, "E261": S.NATURAL, "E263": S.DOUBLE_SHARP, "E264": S.DOUBLE_FLAT,
    "E050": S.G_CLEF, "E07A": S.G_CLEF, "E052": S.G_CLEF_8VB, "E053": S.G_CLEF_8VA,
    "E062": S.F_CLEF, "E07C": S.F_CLEF, "E064": S.F_CLEF_8VB, "E05C": S.C_CLEF, "E07B": S.C_CLEF,
    "E08A": S.TIME_COMMON, "E08B": S.TIME_CUT,
    "E240": S.FLAG_8TH, "E241": S.FLAG_8TH, "E242": S.FLAG_16TH, "E243": S.FLAG_16TH,
    "E244": S.FLAG_32ND, "E245": S.FLAG_32ND,
    "E4A2": S.STACCATO, "E4A3": S.STACCATO, "E4A0": S.ACCENT, "E4A1": S.ACCENT,
    "E4A4": S.TENUTO, "E4A5": S.TENUTO, "E4AC": S.MARCATO, "E4AD": S.MARCATO,
    "E4C0": S.FERMATA, "E4C1": S.FERMATA, "E566": S.TRILL,
    "E510": S.OTTAVA, "E511": S.OTTAVA, "E512": S.OTTAVA, "E513": S.OTTAVA, "E51C": S.OTTAVA,
    "E650": S.PEDAL, "E655": S.PEDAL_UP,
    **{f"E08{figure}": S(f"timeSig{figure}") for figure in range(10)},
    **{f"E88{figure}": S(f"tuplet{figure}") for figure in (2, 3, 4, 5, 6, 7, 9)},
}  # fmt: skip

_P, _M, _F, _S = S.DYNAMIC_P, S.DYNAMIC_M, S.DYNAMIC_F, S.DYNAMIC_S
#: Letters of dynamics that are one glyph; None is a letter that is no symbol of ours (r, z).
_LETTERS: Final[Mapping[str, tuple[S | None, ...]]] = {
    "E520": (_P,), "E521": (_M,), "E522": (_F,), "E524": (_S,),
    "E529": (_P,) * 4, "E52A": (_P,) * 3, "E52B": (_P,) * 2, "E52C": (_M, _P), "E52D": (_M, _F),
    "E52E": (_P, _F), "E52F": (_F,) * 2, "E530": (_F,) * 3, "E531": (_F,) * 4, "E534": (_F, _P),
    "E535": (_F, None), "E536": (_S, _F), "E537": (_S, _F, _P), "E538": (_S, _F, _P, _P),
    "E539": (_S, _F, None), "E53A": (_S, _F, None, _P), "E53B": (_S, _F, _F, None), "E53C": (None, _F),
}  # fmt: skip

_TOKEN: Final = re.compile(r"[a-zA-Z]|-?\d*\.?\d+(?:e-?\d+)?")
_NUMBERS_PER_COMMAND: Final = {"m": 2, "l": 2, "h": 1, "v": 1, "c": 6, "s": 4, "q": 4, "t": 2, "a": 7, "z": 0}


def symbols_of(code: str) -> tuple[S | None, ...]:
    """The symbols that a glyph stands for, left to right in equal shares of its width; none if not ours."""
    if code in _SINGLE:
        return (_SINGLE[code],)
    return _LETTERS.get(code, ())


def outline_box(path: str) -> Box:
    """The box of an outline (left, top, right, bottom; y as in the path), from the ends of its segments.

    Control points are left out: the outlines of music fonts have points at their extremes.
    """
    x = y = start_x = start_y = 0.0
    xs: list[float] = []
    ys: list[float] = []
    tokens = _TOKEN.findall(path)
    at, command = 0, "m"
    while at < len(tokens):
        if tokens[at].isalpha():
            command, at = tokens[at], at + 1
        lower, relative = command.lower(), command.islower()
        count = _NUMBERS_PER_COMMAND[lower]
        if not count:
            x, y = start_x, start_y
            continue
        numbers = [float(token) for token in tokens[at : at + count]]
        at += count
        if lower == "h":
            x = numbers[0] + (x if relative else 0)
        elif lower == "v":
            y = numbers[0] + (y if relative else 0)
        else:
            x, y = numbers[-2] + (x if relative else 0), numbers[-1] + (y if relative else 0)
        if lower == "m":
            start_x, start_y = x, y
            command = "l" if relative else "L"
        xs.append(x)
        ys.append(y)
    return min(xs), min(ys), max(xs), max(ys)
