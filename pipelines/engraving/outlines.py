"""Outlines of music glyphs: those of Verovio's fonts, and outlines stretched, slanted or mirrored."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import verovio
from lxml import etree

FONTS = ("Leipzig", "Bravura", "Leland", "Petaluma", "Gootville")

_TOKEN = re.compile(r"[a-zA-Z]|-?\d*\.?\d+(?:e-?\d+)?")
_NUMBERS = {"m": 2, "l": 2, "h": 1, "v": 1, "c": 6, "s": 4, "q": 4, "t": 2}


@cache
def font_outline(font: str, code: str) -> str | None:
    """The outline of a glyph, by its SMuFL code in capitals; None where the font has none."""
    path = Path(verovio.__file__).parent / "data" / font / f"{code}.xml"
    if not path.is_file():
        return None
    outline = etree.fromstring(path.read_bytes()).find("path")
    return None if outline is None else outline.get("d")


def advance(outline: str) -> float:
    """The rightmost end of a segment: near enough a glyph's width."""
    x, _, rightmost = 0.0, 0.0, 0.0
    for command, numbers in _segments(outline):
        x = _end(command, numbers, x, 0.0)[0]
        rightmost = max(rightmost, x)
    return rightmost


def transformed(outline: str, x_scale: float, y_scale: float, slant: float = 0.0, shift: float = 0.0) -> str:
    """The outline with x' = x_scale * x + slant * y + shift and y' = y_scale * y.

    Horizontal and vertical segments become general ones; arcs are not known.
    """
    x = y = start_x = start_y = 0.0
    parts: list[str] = []
    for command, numbers in _segments(outline):
        if command in "zZ":
            parts.append("z")
            x, y = start_x, start_y
            continue
        relative = command.islower() and bool(parts)
        points = _points(command, numbers, x, y)
        moved = [
            (x_scale * px + slant * py + (0.0 if relative else shift), y_scale * py) for px, py in points
        ]
        name = "l" if command in "hv" else "L" if command in "HV" else command if parts else command.upper()
        parts.append(name + " ".join(f"{px:.1f} {py:.1f}" for px, py in moved))
        x, y = _end(command if relative else command.upper(), numbers, x, y)
        if command in "mM":
            start_x, start_y = x, y
    return "".join(parts)


def _segments(outline: str) -> list[tuple[str, list[float]]]:
    """Commands with the numbers of one segment each."""
    tokens = _TOKEN.findall(outline)
    found: list[tuple[str, list[float]]] = []
    at, command = 0, "M"
    while at < len(tokens):
        if tokens[at].isalpha():
            command, at = tokens[at], at + 1
        if command in "zZ":
            found.append((command, []))
            continue
        count = _NUMBERS[command.lower()]
        found.append((command, [float(token) for token in tokens[at : at + count]]))
        at += count
        if command in "mM":
            command = "l" if command == "m" else "L"
    return found


def _points(command: str, numbers: list[float], x: float, y: float) -> list[tuple[float, float]]:
    if command in "hH":
        return [(numbers[0], 0.0 if command == "h" else y)]
    if command in "vV":
        return [(0.0 if command == "v" else x, numbers[0])]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _end(command: str, numbers: list[float], x: float, y: float) -> tuple[float, float]:
    """Where a segment that starts at (x, y) ends."""
    if command in "zZ":
        return x, y
    end_x, end_y = _points(command, numbers, x, y)[-1]
    return (x + end_x, y + end_y) if command.islower() else (end_x, end_y)
