"""How well a work was read, and where the rest was lost.

The figures that count are those of `score_omr.py`, which is loaded from where it lies. The others follow
one note through the steps of reading, each asking for less than the next: that there are as many notes in
the measure (`counted`), that they stand on the right line (`diatonic`), are spelled rightly (`pitch`), begin
where they should (`onset`), and last as long (`note`); `value` asks for pitch and duration wherever they
begin, and `staff` and `voice` are shares among the notes that are right in all else.
"""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Final

from pipelines.evaluation.omr_works import Measure, MeasureNote, Truth, height

SCORER: Final = Path("../shared/tools/score_omr.py")

Pairs = Sequence[tuple[int, int]]  # of a true measure and a found one

#: What of a note is compared, by the measure that asks for it.
KEYS: Final[dict[str, Callable[[MeasureNote], Hashable]]] = {
    "counted": lambda n: None,
    "diatonic": lambda n: height(n.pitch),
    "pitch": lambda n: n.pitch,
    "onset": lambda n: (n.pitch, n.onset),
    "value": lambda n: (n.pitch, n.duration),
    "note": lambda n: (n.pitch, n.onset, n.duration),
}


@dataclass(frozen=True, slots=True)
class ReadingScores:
    """Scores of a work or of a page; all but the counts are 0 to 1.

    Attributes:
        counted, diatonic, pitch, onset, value, note: F1 of notes, as above.
        measures_right: share of true measures in which every note is right and none is added.
        staff: share of right notes that are on the right staff.
        voice: share of pairs of right notes in a measure and staff that rightly share a voice or do not.
        true_notes, found_notes, true_measures, found_measures: how many.
    """

    counted: float
    diatonic: float
    pitch: float
    onset: float
    value: float
    note: float
    measures_right: float
    staff: float
    voice: float
    true_notes: int
    found_notes: int
    true_measures: int
    found_measures: int


def scorer(path: Path = SCORER) -> ModuleType:
    """Load `score_omr.py`.

    Raises:
        FileNotFoundError: it is not there.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: it holds the measures that reading is judged by.")
    spec = importlib.util.spec_from_file_location("score_omr", path)
    assert spec is not None  # noqa: S101 - a path that exists has one
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules["score_omr"] = module
    spec.loader.exec_module(module)
    return module


def align(score_omr: ModuleType, truth: Sequence[Measure], found: Sequence[Measure]) -> Pairs:
    """Pairs of measures, in order, that share the most notes."""
    return score_omr.align(_plain(truth), _plain(found))


def _plain(measures: Iterable[Measure]) -> list[list[tuple[float, str, float]]]:
    return [[(n.onset, n.pitch, n.duration) for n in measure] for measure in measures]


def score_work(score_omr: ModuleType, truth: Truth, found: Sequence[Measure]) -> ReadingScores:
    """Score a work as a whole."""
    return score_pairs(truth.measures, found, align(score_omr, truth.measures, found))


def score_pages(
    score_omr: ModuleType, truth: Truth, found: Sequence[Measure], found_pages: Sequence[int]
) -> list[ReadingScores]:
    """Score each page of a work by the alignment of the whole.

    Args:
        score_omr: as `scorer` loads it.
        truth: of the work.
        found: measures of the work.
        found_pages: index of the page of each of `found`.
    """
    pairs = align(score_omr, truth.measures, found)
    pages = []
    for page in range(len(truth.systems)):
        true = [measure if truth.pages[i] == page else () for i, measure in enumerate(truth.measures)]
        mine = [measure if found_pages[j] == page else () for j, measure in enumerate(found)]
        kept = [(i, j) for i, j in pairs if truth.pages[i] == page and found_pages[j] == page]
        count = truth.pages.count(page)
        pages.append(score_pairs(true, mine, kept, count, list(found_pages).count(page)))
    return pages


def score_pairs(
    truth: Sequence[Measure],
    found: Sequence[Measure],
    pairs: Pairs,
    true_measures: int | None = None,
    found_measures: int | None = None,
) -> ReadingScores:
    """Score measures that have been aligned.

    Args:
        truth, found: all measures.
        pairs: which belong together.
        true_measures, found_measures: how many there are, where the lists hold stand-ins for others.
    """
    true_notes, found_notes = sum(map(len, truth)), sum(map(len, found))
    total = max(true_notes + found_notes, 1)
    f1 = {
        name: 2 * sum(_shared(truth[i], found[j], key) for i, j in pairs) / total
        for name, key in KEYS.items()
    }
    whole = KEYS["note"]
    right = sum(Counter(map(whole, truth[i])) == Counter(map(whole, found[j])) for i, j in pairs)
    count = len(truth) if true_measures is None else true_measures
    staff, voice = _placing(truth, found, pairs)
    return ReadingScores(
        **f1,
        measures_right=right / max(count, 1),
        staff=staff,
        voice=voice,
        true_notes=true_notes,
        found_notes=found_notes,
        true_measures=count,
        found_measures=len(found) if found_measures is None else found_measures,
    )


def _shared(truth: Measure, found: Measure, key: Callable[[MeasureNote], Hashable]) -> int:
    return (Counter(map(key, truth)) & Counter(map(key, found))).total()


def _placing(truth: Sequence[Measure], found: Sequence[Measure], pairs: Pairs) -> tuple[float, float]:
    """Shares of right notes on the right staff, and of pairs of them rightly in one voice or in two."""
    on_staff = right = agreeing = compared = 0
    for i, j in pairs:
        matched = _matched(truth[i], found[j])
        right += len(matched)
        on_staff += sum(true.staff == mine.staff for true, mine in matched)
        for (true, mine), (true_other, other) in combinations(matched, 2):
            if true.staff == true_other.staff and mine.staff == other.staff:
                compared += 1
                agreeing += (true.voice == true_other.voice) == (mine.voice == other.voice)
    return on_staff / max(right, 1), agreeing / max(compared, 1)


def _matched(truth: Measure, found: Measure) -> list[tuple[MeasureNote, MeasureNote]]:
    """Notes of the same onset, pitch and duration; those of the same staff first."""
    waiting = defaultdict(list)
    for mine in found:
        waiting[mine.onset, mine.pitch, mine.duration].append(mine)
    pairs = []
    for true in truth:
        options = waiting[true.onset, true.pitch, true.duration]
        if options:
            best = min(options, key=lambda mine: mine.staff != true.staff)
            options.remove(best)
            pairs.append((true, best))
    return pairs


def mean_scores(scores: Sequence[ReadingScores]) -> ReadingScores:
    """Means over works; the counts are summed."""
    counts = {"true_notes", "found_notes", "true_measures", "found_measures"}
    means = {}
    for name in ReadingScores.__dataclass_fields__:
        values = [getattr(each, name) for each in scores]
        means[name] = sum(values) if name in counts else sum(values) / max(len(values), 1)
    return ReadingScores(**means)


def order_f1(truth: Sequence[str], found: Sequence[Measure]) -> float:
    """F1 of pitches that come in the right order, for pages whose truth tells no more.

    Staves that were read as one system are told one after another, as they are in the truth.
    """
    staves = 1 + max((n.staff for measure in found for n in measure), default=0)
    read = [
        n.pitch
        for staff in range(staves)
        for measure in found
        for n in sorted(measure, key=lambda n: (n.onset, height(n.pitch)))
        if n.staff == staff
    ]
    return 2 * _longest_common(truth, read) / max(len(truth) + len(read), 1)


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for each in one:
        before = row
        row = [0]
        for index, mine in enumerate(other):
            row.append(before[index] + 1 if each == mine else max(before[index + 1], row[index]))
    return row[-1]
