"""OMR-NED, the field's edit distance between scores, by musicdiff (https://github.com/gregchapman-dev/musicdiff).

OMR-NED is the least number of symbols to insert, delete or change, over the number of symbols of both
scores (Martinez-Sevilla and others, "Sheet Music Benchmark: Standardized Optical Music Recognition
Evaluation", 2025); 0 is perfect, 1 means that nothing is shared. It is asked at two levels of detail: `MUSIC`
compares what every truth here tells (notes, rests, ties, clefs, keys and time signatures); `EVERYTHING` is
musicdiff's default, with beams, articulations, slurs, dynamics, lyrics and names of parts, and is asked only
where the truth has them.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import warnings
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from music21 import base, chord, clef, converter, key, metadata, meter, note, stream, tie
from music21.musicxml import m21ToXml
from musicdiff import DetailLevel
from musicdiff.annotation import AnnScore
from musicdiff.comparison import Comparison
from musicdiff.visualization import Visualization

MUSIC: Final = DetailLevel.NotesAndRests | DetailLevel.Ties | DetailLevel.Signatures
EVERYTHING: Final = DetailLevel.AllObjects


def omr_ned(truth: Path, musicxml: bytes, detail: int, limit_s: float) -> float | None:
    """OMR-NED of a work, 0 to 1; None where musicdiff takes longer than `limit_s` seconds.

    Its time grows with the product of the numbers of measures that differ.

    Args:
        truth: `truth.musicxml` or `truth.json`.
        musicxml: what was read.
        detail: what is compared, a sum of musicdiff's `DetailLevel`s.
        limit_s: when to give up.
    """
    executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    waiting = executor.submit(_distance, truth, musicxml, detail)
    try:
        return waiting.result(limit_s)
    except TimeoutError:
        for process in executor._processes.values():
            process.terminate()
        return None
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _distance(truth: Path, musicxml: bytes, detail: int) -> float:
    warnings.simplefilter("ignore")
    told = json_as_musicxml(truth) if truth.suffix == ".json" else truth.read_bytes()
    mine, theirs = (AnnScore(_parsed(content), detail) for content in (musicxml, told))
    _, cost = Comparison.annotated_scores_diff(mine, theirs)
    return Visualization.get_omr_ned(cost, mine.notation_size(), theirs.notation_size())


def _parsed(musicxml: bytes) -> stream.Score:
    with tempfile.NamedTemporaryFile(suffix=".musicxml") as file:
        file.write(musicxml)
        file.flush()
        return converter.parse(file.name, forceSource=True)


def json_as_musicxml(path: Path) -> bytes:
    """A `truth.json` as MusicXML; accidentals are printed where the usual rules ask for them."""
    return m21ToXml.GeneralObjectExporter(score_of_json(path)).parse()


def score_of_json(path: Path) -> stream.Score:
    """The score that a `truth.json` tells: one part for each staff, voices as they are told."""
    told = json.loads(path.read_text())
    score = stream.Score([metadata.Metadata()])
    for staff in range(1, told["staves"] + 1):
        part = stream.PartStaff()
        for number, measure in enumerate(told["measures"], start=1):
            part.append(_measure(measure, staff, number))
        score.insert(0, part)
    return score


def _measure(told: dict[str, Any], staff: int, number: int) -> stream.Measure:
    measure = stream.Measure(number=number)
    for mark in told["attrs"]:
        if mark["staff"] == staff and (made := _signature(mark, told["attrs"])) is not None:
            measure.insert(mark["on"], made)
    events = [each | {"p": None} for each in told["rests"]] + told["notes"]
    mine = [each for each in events if each["staff"] == staff and not each.get("inv")]
    names = sorted({each["v"] for each in mine})
    for name in names:
        line = stream.Voice(id=str(name)) if len(names) > 1 else measure
        for event in _chords(each for each in mine if each["v"] == name):
            line.insert(*event)
        if line is not measure:
            measure.insert(0, line)
    return measure


def _signature(mark: dict[str, Any], others: list[dict[str, Any]]) -> base.Music21Object | None:
    match mark["type"]:
        case "clef":
            return clef.clefFromString(mark["value"])
        case "key":
            return key.KeySignature(mark["value"])
        case "time":
            signs = {o["value"] for o in others if o["type"] == "met" and o["staff"] == mark["staff"]}
            symbol = {"c": "common", "c|": "cut"}.get(next(iter(signs), ""))
            made = meter.TimeSignature(mark["value"])
            if symbol:
                made.symbol = symbol
            return made
        case _:
            return None


def _chords(events: Iterable[dict[str, Any]]) -> list[tuple[float, note.GeneralNote]]:
    """Notes of one onset and length in one voice are a chord; grace notes stand before what follows."""
    grouped: dict[tuple[float, float, bool, bool], list[dict[str, Any]]] = {}
    for each in events:
        alike = each["on"], each["dur"], bool(each.get("grace")), each["p"] is None
        grouped.setdefault(alike, []).append(each)
    made: list[tuple[float, note.GeneralNote]] = []
    for (onset, length, grace, is_rest), members in grouped.items():
        quarters = Fraction(length).limit_denominator(96)
        if is_rest:
            made.append((onset, note.Rest(quarterLength=quarters)))
            continue
        heads = [_head(each) for each in members]
        event = heads[0] if len(heads) == 1 else chord.Chord(heads)
        event.quarterLength = quarters or Fraction(1, 2)
        made.append((onset, event.getGrace() if grace else event))
    return made


def _head(told: dict[str, Any]) -> note.Note:
    head = note.Note(told["p"].replace("b", "-"))
    if told["tie"]:
        head.tie = tie.Tie({"cont": "continue"}.get(told["tie"], told["tie"]))
    return head
