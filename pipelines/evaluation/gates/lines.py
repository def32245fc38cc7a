"""Lines of printed music, one system each, with all that is printed on them: what page models are judged on.

Held-out pages were engraved of scores that training never sees. Of each a line is taken, as it would look
prepared for the model: clean, scanned or photographed, always in the same way. A line costs a few tiles
instead of a page's dozen, so that a test set can hold many. Where the cache holds too few pages, the lines
that lie beside this file are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.cache import cache_folder
from pipelines.engraving.pages import EngravedPage
from pipelines.engraving.pictures import Means, as_prepared
from pipelines.evaluation.gates.fixed_sets import FEWEST_HELD_OUT, FixedSet, Piece, chosen, digest_of
from pipelines.training.symbols.tiles import on_nearest_staff
from services.omr.vocabulary import CLASS_INDEX, HEADS, RESTS

SAMPLES: Final = Path(__file__).parent / "samples" / "lines"
_SEED: Final = 78
#: Space kept around what is printed, in px of the engraved page.
_MARGIN_PX: Final = 24.0
#: Symbols on a staff of a line.
_DENSE: Final = 90
_STAVES: Final = {1: "one", 2: "two"}
_TIMED: Final = [CLASS_INDEX[kind] for kind in (*HEADS, *RESTS)]
#: Index of the value of 16th notes.
_SIXTEENTH: Final = 4


@dataclass(frozen=True, slots=True)
class Line:
    """A line of music.

    Attributes:
        page: as prepared, with that system's staves and measures and all symbols that lie on the picture.
    """

    page: EngravedPage


def fixed_set(limit: int | None, asked: str = "") -> tuple[FixedSet[Line], list[str]]:
    """The test set that this machine has, and a sentence for each that it lacks.

    Args:
        limit: the most lines.
        asked: what else decides the measures, for the digest.
    """
    stems = page_stems(cache_folder("pages", "validation"))
    if len(stems) >= FEWEST_HELD_OUT:
        pieces = [held_out_line(stem) for stem in chosen(stems, limit)]
        return _set("held-out", pieces, asked), []
    skipped = [f"held-out: the cache holds {len(stems)} of at least {FEWEST_HELD_OUT} pages."]
    return _set("small", [read_line(stem) for stem in chosen(page_stems(SAMPLES), limit)], asked), skipped


def page_stems(folder: Path) -> list[Path]:
    """The pages or lines that lie whole in a folder, by their names without suffix."""
    found = sorted(folder.glob("*.npz"))
    return [path.with_suffix("") for path in found if not path.stem.endswith(".part")]


def held_out_line(stem: Path) -> Piece[Line]:
    """A line of an engraved page, taken by some means; decided by the page alone."""
    page = on_nearest_staff(EngravedPage.load(stem))
    random = np.random.default_rng([_SEED, *stem.name.encode()])
    means = Means(random.choice([each.value for each in Means]))
    system = int(random.choice(np.unique(page.staves["system"])))
    return _piece(stem.name, means, as_prepared(line_of(page, system), means, random))


def read_line(stem: Path) -> Piece[Line]:
    """A line that lies beside this file: `NAME-MEANS.png` with `NAME-MEANS.npz`."""
    name, means = stem.name.rsplit("-", 1)
    return _piece(name, Means(means), EngravedPage.load(stem))


def line_of(page: EngravedPage, system: int) -> EngravedPage:
    """Cut one system out of a page, as high as what stands on it."""
    symbols, staves, measures = page.symbols, page.staves, page.measures
    of_system = staves["system"] == system
    mine = np.isin(symbols["staff"], np.flatnonzero(of_system))
    top, bottom = _reach(symbols[mine], staves[of_system])
    first, last = max(int(top), 0), min(int(bottom), page.image.shape[0])
    kept = symbols[(symbols["y"] >= first) & (symbols["y"] < last)].copy()
    kept["y"] -= first
    numbers = np.cumsum(measures["system"] == system) - 1
    inside = measures["system"][kept["measure"]] == system
    kept["measure"] = np.where(inside & (kept["measure"] >= 0), numbers[kept["measure"]], -1)
    line = staves[of_system].copy()
    line["y"] -= first
    line["system"] = 0
    bars = measures[measures["system"] == system].copy()
    bars["system"] = 0
    return EngravedPage(np.ascontiguousarray(page.image[first:last]), kept, line, bars)


def _reach(symbols: NDArray[np.void], staves: NDArray[np.void]) -> tuple[float, float]:
    """How far up and down the symbols and staves of a system reach, with a margin, in px."""
    tops, bottoms = symbols["y"] - symbols["height"] / 2, symbols["y"] + symbols["height"] / 2
    top = min(float(tops.min(initial=np.inf)), float(staves["y"].min()) - 2 * _MARGIN_PX)
    bottom = max(float(bottoms.max(initial=-np.inf)), float(staves["y"].max()) + 2 * _MARGIN_PX)
    return top - _MARGIN_PX, bottom + _MARGIN_PX


def _piece(name: str, means: Means, page: EngravedPage) -> Piece[Line]:
    timed = page.symbols[np.isin(page.symbols["kind"], _TIMED)]
    slices = {
        "picture": means.value,
        "staves": _STAVES.get(len(page.staves), "more"),
        "density": "dense" if len(page.symbols) / len(page.staves) > _DENSE else "sparse",
        "values": "short" if (timed["duration"] >= _SIXTEENTH).any() else "long",
    }
    return Piece(name, slices, Line(page))


def _set(name: str, pieces: Sequence[Piece[Line]], asked: str) -> FixedSet[Line]:
    contents = ((each.name, each.content.page) for each in pieces)
    parts = (part for name, page in contents for part in (name, page.image, page.symbols, page.measures))
    return FixedSet(name, digest_of([asked, *parts]), tuple(pieces))
