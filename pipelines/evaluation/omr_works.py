"""The pages that reading is judged on, and what is printed on them.

Three folders (their README tells what each holds):

- `engraved/WORK/`: `clean.pdf`, `scan.pdf` and `photo-N.jpg`, one engraving thrice, with `truth.musicxml`;
- `scanned/WORK/`: `pN.png`, pages of one old edition, with `truth.json`, typed by hand from it;
- `photographed/WORK/`: `photo.jpg` with `truth_order.json`: pitches in order, without their time.

The photos of an engraved work are its pages in order; together they hold the whole song.
"""

from __future__ import annotations

import json
import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lxml import etree
from music21 import chord, converter, harmony, note, stream

PAGES: Final = Path("../shared/data/pages")

#: Sets of pages, in the table's order.
CLEAN, SCAN, PHOTO, SCANNED, IN_ORDER = "clean", "scan", "photo", "scanned", "order"
SETS: Final = (CLEAN, SCAN, PHOTO, SCANNED, IN_ORDER)


@dataclass(frozen=True, slots=True)
class Work:
    """Pages that are read together.

    Attributes:
        pages: name of the set.
        name: of the work.
        files: its pages in order; a PDF holds all of them.
        truth: what is printed on them.
    """

    pages: str
    name: str
    files: tuple[Path, ...]
    truth: Path


@dataclass(frozen=True, slots=True)
class MeasureNote:
    """A note as printed in its measure; grace notes are left out.

    Attributes:
        onset, duration: in quarter notes, rounded to hundredths.
        pitch: spelled, such as `Bb4`.
        staff: index in the system, 0 for the uppermost.
        voice: a name that notes of one voice share within the measure and staff.
    """

    onset: float
    pitch: str
    duration: float
    staff: int
    voice: str


Measure = tuple[MeasureNote, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """What is printed on the pages of a work.

    Attributes:
        measures: in order.
        pages: index of the page of each measure.
        systems: number of systems on each page.
        staves: staves in a system.
    """

    measures: tuple[Measure, ...]
    pages: tuple[int, ...]
    systems: tuple[int, ...]
    staves: int


def works(folder: Path) -> list[Work]:
    """All works under `folder`, set by set; empty where it is missing."""
    found = []
    for place in sorted(folder.glob("engraved/*/")):
        truth = place / "truth.musicxml"
        photos = tuple(sorted(place.glob("photo-*.jpg"), key=_number))
        found += [
            Work(CLEAN, place.name, (place / "clean.pdf",), truth),
            Work(SCAN, place.name, (place / "scan.pdf",), truth),
            Work(PHOTO, place.name, photos, truth),
        ]
    for place in sorted(folder.glob("scanned/*/")):
        files = tuple(sorted(place.glob("p*.png"), key=_number))
        found.append(Work(SCANNED, place.name, files, place / "truth.json"))
    for place in sorted(folder.glob("photographed/*/")):
        found.append(Work(IN_ORDER, place.name, (place / "photo.jpg",), place / "truth_order.json"))
    return sorted(found, key=lambda work: SETS.index(work.pages))


def _number(path: Path) -> int:
    return int(re.findall(r"\d+", path.stem)[-1])


def read_truth(path: Path) -> Truth:
    """Read `truth.json` or `truth.musicxml`."""
    return _truth_of_json(path) if path.suffix == ".json" else _truth_of_musicxml(path)


def _truth_of_json(path: Path) -> Truth:
    told = json.loads(path.read_text())
    measures = tuple(
        tuple(
            MeasureNote(round(n["on"], 2), n["p"], round(n["dur"], 2), n["staff"] - 1, str(n["v"]))
            for n in measure["notes"]
            if not n["grace"] and not n.get("inv")
        )
        for measure in told["measures"]
    )
    pages = tuple(measure["page"] for measure in told["measures"])
    systems = {(measure["page"], measure["system"]) for measure in told["measures"]}
    return Truth(measures, pages, _per_page(page for page, _ in systems), told["staves"])


def _truth_of_musicxml(path: Path) -> Truth:
    """Layout is taken from the first part's `print` elements: the file tells its own engraving's breaks."""
    pages, systems, page = [], [0], 0
    part = etree.parse(path).getroot().find("part")
    for measure in part.iterfind("measure"):
        for mark in measure.iterfind("print"):
            page += mark.get("new-page") == "yes"
            systems += [page] if "yes" in (mark.get("new-page"), mark.get("new-system")) else []
        pages.append(page)
    measures = read_musicxml(path.read_bytes())
    staves = len(_parsed(path).parts)
    return Truth(measures, tuple(pages), _per_page(systems), staves)


def _per_page(pages: Iterable[int]) -> tuple[int, ...]:
    counted = Counter(pages)
    return tuple(counted[page] for page in range(max(counted) + 1))


def read_musicxml(content: bytes) -> tuple[Measure, ...]:
    """The notes of every measure, all parts and staves together, as `score_omr.py` reads them.

    Args:
        content: MusicXML.
    """
    with tempfile.NamedTemporaryFile(suffix=".musicxml") as file:
        file.write(content)
        file.flush()
        score = _parsed(Path(file.name))
    measures: dict[int, list[MeasureNote]] = {}
    for staff, part in enumerate(score.parts):
        for index, measure in enumerate(part.getElementsByClass(stream.Measure)):
            measures.setdefault(index, []).extend(_notes_of(measure, staff))
    return tuple(tuple(measures[index]) for index in sorted(measures))


def _notes_of(measure: stream.Measure, staff: int) -> list[MeasureNote]:
    found = []
    for element in measure.recurse().notes:
        if element.duration.isGrace or isinstance(element, harmony.ChordSymbol):
            continue
        if not isinstance(element, note.Note | chord.Chord):
            continue
        onset = round(float(element.getOffsetInHierarchy(measure)), 2)
        voice = element.getContextByClass(stream.Voice)
        for pitch in element.pitches:
            name = pitch.nameWithOctave.replace("-", "b")
            length = round(float(element.quarterLength), 2)
            found.append(MeasureNote(onset, name, length, staff, str(voice.id) if voice else ""))
    return found


def _parsed(path: Path) -> stream.Score:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lyrics and layout, which no measure here looks at
        return converter.parse(path, forceSource=True)


def read_order(path: Path) -> list[str]:
    """The pitches of `truth_order.json`, staff by staff, from left to right, chords from below."""
    return [each["p"] for each in sorted(json.loads(path.read_text())["notes"], key=_place_in_order)]


def _place_in_order(each: dict[str, Any]) -> tuple[int, int, int]:
    return each["staff"], each["order"], height(each["p"])


def height(pitch: str) -> int:
    """Diatonic height of a spelled pitch: octave times 7 and the step, C being 0."""
    return int(re.sub(r"\D", "", pitch)) * 7 + "CDEFGAB".index(pitch[0])
