"""Engraving: MusicXML to pages, as SVG and as PDF, with real music glyphs and fonts in both.

Verovio draws the pages, Typst sets them into a PDF. Verovio's toolkit is not safe to use from several
threads, holds the interpreter's lock while it works, and is native code fed with the unexpected; so
each score is engraved in a process of its own, with a limit on its time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.errors import NotationError
from services.native import bare_environment

#: An engraving may take so long before it is given up.
TIME_LIMIT_S: Final = 120.0

_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Engraving:
    """An engraved score; what was not asked for is empty.

    Attributes:
        pages: how many pages it has.
        svg: one SVG document that stacks the pages.
        pdf: the pages as vector PDF, A4.
    """

    pages: int
    svg: bytes
    pdf: bytes


def engrave(
    musicxml: bytes, *, svg: bool = True, pdf: bool = True, time_limit_s: float = TIME_LIMIT_S
) -> Engraving:
    """Engrave a score. Safe to call from any thread; blocks until the pages are there.

    Args:
        musicxml: a MusicXML document.
        svg: whether the SVG is wanted.
        pdf: whether the PDF is wanted.
        time_limit_s: when to give up, in seconds.

    Raises:
        NotationError: the score cannot be engraved, or not in time.
    """
    environment = {**bare_environment(), "PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    wanted = [name for name, asked in (("svg", svg), ("pdf", pdf)) if asked]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "services.music.engraver", *wanted],
            input=musicxml,
            capture_output=True,
            timeout=time_limit_s,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotationError(
            f"Engraving took longer than its limit of {time_limit_s:g} s.",
            remedy="Ask for midi or musicxml, or send a shorter recording.",
        ) from error
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise NotationError(
            f"The score could not be engraved: {reason[-1] if reason else f'exit status {done.returncode}'}.",
            remedy="Ask for midi or musicxml instead.",
        )
    header, _, body = done.stdout.partition(b"\n")
    sizes = json.loads(header)
    return Engraving(pages=sizes["pages"], svg=body[: sizes["svg"]], pdf=body[sizes["svg"] :])
