"""The table of how pages were read: a line for each work, its pages and each set's means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from pipelines.evaluation.omr_measures import ReadingScores, mean_scores
from pipelines.evaluation.omr_works import SETS


@dataclass(frozen=True, slots=True)
class Staves:
    """Staves and systems of a work or page; `true_*` is what its truth tells."""

    found: int
    true: int
    systems: int
    true_systems: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table.

    Attributes:
        pages: name of the set.
        name: of the work.
        page: number of the page from 1, or None for the whole work.
        scores: how it was read.
        staves: what was found of its staves.
        adds_up: share of the measures found that add up.
        ned_music, ned_everything: OMR-NED of the whole work, None where it was not asked or took too long.
        seconds: for the whole work, None for a page.
    """

    pages: str
    name: str
    page: int | None
    scores: ReadingScores
    staves: Staves
    adds_up: float
    ned_music: float | None = None
    ned_everything: float | None = None
    seconds: float | None = None


def means(lines: Sequence[Line]) -> list[Line]:
    """A line for each set: means over its works, staves and notes summed."""
    found = []
    for name in SETS:
        works = [line for line in lines if line.pages == name and line.page is None]
        if works:
            found.append(_mean(name, works))
    return found


def _mean(name: str, works: Sequence[Line]) -> Line:
    def over(value: Callable[[Line], float | None]) -> float | None:
        values = [value(line) for line in works]
        known = [each for each in values if each is not None]
        return sum(known) / len(known) if len(known) == len(values) else None

    staves = [asdict(line.staves) for line in works]
    return Line(
        pages=name,
        name=f"MEAN of {len(works)}",
        page=None,
        scores=mean_scores([line.scores for line in works]),
        staves=Staves(**{field.name: sum(each[field.name] for each in staves) for field in fields(Staves)}),
        adds_up=over(lambda line: line.adds_up) or 0.0,
        ned_music=over(lambda line: line.ned_music),
        ned_everything=over(lambda line: line.ned_everything),
        seconds=over(lambda line: line.seconds),
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


_COLUMNS: Final[dict[str, Callable[[Line], str]]] = {
    "set": lambda line: line.pages,
    "work": lambda line: line.name,
    "page": lambda line: "all" if line.page is None else str(line.page),
    "staves": lambda line: f"{line.staves.found}/{line.staves.true}",
    "systems": lambda line: f"{line.staves.systems}/{line.staves.true_systems}",
    "measures": lambda line: f"{line.scores.found_measures}/{line.scores.true_measures}",
    "notes": lambda line: f"{line.scores.found_notes}/{line.scores.true_notes}",
    "counted": lambda line: _share(line.scores.counted),
    "diatonic": lambda line: _share(line.scores.diatonic),
    "pitch": lambda line: _share(line.scores.pitch),
    "onset": lambda line: _share(line.scores.onset),
    "value": lambda line: _share(line.scores.value),
    "NOTE": lambda line: _share(line.scores.note),
    "measures right": lambda line: _share(line.scores.measures_right),
    "staff": lambda line: _share(line.scores.staff),
    "voice": lambda line: _share(line.scores.voice),
    "adds up": lambda line: _share(line.adds_up),
    "NED music": lambda line: _share(line.ned_music),
    "NED all": lambda line: _share(line.ned_everything),
    "seconds": lambda line: "-" if line.seconds is None else f"{line.seconds:.1f}",
}


def markdown(lines: Sequence[Line]) -> str:
    """The table as Markdown, aligned so that it reads well as it stands."""
    rows = [[cell(line) for cell in _COLUMNS.values()] for line in lines]
    widths = [max(len(name), *(len(row[column]) for row in rows)) for column, name in enumerate(_COLUMNS)]
    return "\n".join(_rows(list(_COLUMNS), rows, widths))


def _rows(names: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    left = 2  # set and work are words, all else is figures
    rule = [
        ("-" * width) if column < left else "-" * (width - 1) + ":" for column, width in enumerate(widths)
    ]
    for row in (names, rule, *rows):
        cells = [
            text.ljust(width) if column < left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "| " + " | ".join(cells) + " |"


def write_report(lines: Sequence[Line], folder: Path) -> None:
    """Write `omr.md` and `omr.json` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "omr.md").write_text(markdown(lines) + "\n")
    rows: list[dict[str, Any]] = [asdict(line) for line in lines]
    (folder / "omr.json").write_text(json.dumps(rows, indent=1) + "\n")
