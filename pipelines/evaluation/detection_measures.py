"""Measures of finding and naming single symbols.

Three average precisions are told for each class: COCO's (Lin and others, 2014; 101-point interpolation, at an
overlap of 0.5 and the mean over 0.5 to 0.95), and one by the distance of centres, half a staff space at most,
which is fairer to stems and lines a px or two wide and the only one for points (the ends of ties and slurs).
`named` is the accuracy of naming a symbol whose place is known: the surest name that the model gives to what
lies there, the figure that classifiers of cropped symbols are compared by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.omr.vocabulary import CLASSES, SymbolClass

FloatArray = NDArray[np.float64]

#: Their boxes are of one made-up size: only their places mean something.
POINTS: Final = frozenset(
    {SymbolClass.TIE_START, SymbolClass.TIE_END, SymbolClass.SLUR_START, SymbolClass.SLUR_END}
)
OVERLAPS: Final = np.arange(0.5, 1.0, 0.05)
_RECALLS: Final = np.linspace(0, 1, 101)
#: Classes with fewer symbols than this have no average precision worth the name.
FEWEST: Final = 5


@dataclass(frozen=True, slots=True)
class Boxes:
    """Symbols of a page, in px of its picture.

    Attributes:
        kinds: int [N], indices of classes.
        edges: float [N, 4]: left, top, right, bottom.
        scores: float [N], 0 to 1; ones for the truth.
    """

    kinds: NDArray[np.int64]
    edges: FloatArray
    scores: FloatArray

    @property
    def centres(self) -> FloatArray:
        """Float [N, 2]."""
        return (self.edges[:, :2] + self.edges[:, 2:]) / 2


@dataclass(frozen=True, slots=True)
class SeenPage:
    """A page as it was seen.

    Attributes:
        truth: what is printed.
        found: what was found, rivals resolved.
        seen: all candidates, rivals and all.
        space_px: staff space of the picture.
    """

    truth: Boxes
    found: Boxes
    seen: Boxes
    space_px: float


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of one class, or means over classes, 0 to 1.

    Attributes:
        name: of the class.
        count: symbols printed.
        ap50, ap: COCO's average precision at an overlap of 0.5, and over 0.5 to 0.95; None for points.
        ap_centre: average precision by the distance of centres.
        named: share of symbols named rightly where they stand.
        f1: at the threshold that suits the class best, by the distance of centres.
        least_score: that threshold; what a model's card should say.
    """

    name: str
    count: int
    ap50: float | None
    ap: float | None
    ap_centre: float
    named: float
    f1: float
    least_score: float


def score_pages(pages: Sequence[SeenPage]) -> list[ClassScores]:
    """Scores of every class that occurs often enough, in the vocabulary's order."""
    named = np.concatenate([_named(page) for page in pages])
    kinds = np.concatenate([page.truth.kinds for page in pages])
    scores = []
    for index, kind in enumerate(CLASSES):
        count = int((kinds == index).sum())
        if count < FEWEST:
            continue
        overlaps = None if kind in POINTS else _precisions(pages, index)
        near = _nearness(pages, index)
        f1, least_score = best_f1(*near, 0.5)
        scores.append(
            ClassScores(
                name=kind.value,
                count=count,
                ap50=None if overlaps is None else float(overlaps[0]),
                ap=None if overlaps is None else float(overlaps.mean()),
                ap_centre=average_precision(*near, 0.5),
                named=float(named[kinds == index].mean()),
                f1=f1,
                least_score=least_score,
            )
        )
    return scores


def mean_scores(scores: Sequence[ClassScores]) -> ClassScores:
    """Means over classes; `count` is summed, `least_score` the median."""
    boxed = [each for each in scores if each.ap is not None]
    return ClassScores(
        name=f"MEAN of {len(scores)} classes",
        count=sum(each.count for each in scores),
        ap50=float(np.mean([each.ap50 for each in boxed])),
        ap=float(np.mean([each.ap for each in boxed])),
        ap_centre=float(np.mean([each.ap_centre for each in scores])),
        named=float(np.mean([each.named for each in scores])),
        f1=float(np.mean([each.f1 for each in scores])),
        least_score=float(np.median([each.least_score for each in scores])),
    )


def _precisions(pages: Sequence[SeenPage], kind: int) -> FloatArray:
    """Average precision at each of `OVERLAPS`."""
    likenesses = []
    for page in pages:
        true, mine = page.truth.edges[page.truth.kinds == kind], page.found.edges[page.found.kinds == kind]
        likenesses.append(overlap(mine, true))
    scores = [page.found.scores[page.found.kinds == kind] for page in pages]
    return np.array([average_precision(scores, likenesses, float(least)) for least in OVERLAPS])


def _nearness(pages: Sequence[SeenPage], kind: int) -> tuple[list[FloatArray], list[FloatArray]]:
    """Scores of what was found, and how near its centre is to each true one: 0.5 at half a staff space."""
    nearness = []
    for page in pages:
        true, mine = page.truth.kinds == kind, page.found.kinds == kind
        apart = np.linalg.norm(page.found.centres[mine][:, None] - page.truth.centres[true][None], axis=2)
        nearness.append(1 - apart / page.space_px)
    return [page.found.scores[page.found.kinds == kind] for page in pages], nearness


def overlap(one: FloatArray, other: FloatArray) -> FloatArray:
    """Intersection over union of boxes [N, 4] and [M, 4], float [N, M]."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (one, other)]
    return common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-9)


def average_precision(scores: Sequence[FloatArray], likenesses: Sequence[FloatArray], least: float) -> float:
    """COCO's average precision of one class.

    Args:
        scores: for each page, of what was found.
        likenesses: for each page, float [found, true]: how alike they are, the more the higher.
        least: what is as alike as this is a match; the surest choose first, the most alike of what is left.
    """
    true, _, wanted = _ranked(scores, likenesses, least)
    recall, precision = true / max(wanted, 1), true / np.arange(1, len(true) + 1)
    falling = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(falling[np.searchsorted(recall, _RECALLS, side="left")].mean())


def best_f1(
    scores: Sequence[FloatArray], likenesses: Sequence[FloatArray], least: float
) -> tuple[float, float]:
    """The best F1 that a threshold can give, and that threshold; arguments of `average_precision`."""
    true, sure, wanted = _ranked(scores, likenesses, least)
    if not true.size:
        return 0.0, 1.0
    f1 = 2 * true / (np.arange(1, len(true) + 1) + wanted)
    best = int(f1.argmax())
    return float(f1[best]), float(sure[best])


def _ranked(
    scores: Sequence[FloatArray], likenesses: Sequence[FloatArray], least: float
) -> tuple[NDArray[np.int64], FloatArray, int]:
    """Matches among the surest 1, 2, 3 and so on, their scores, and how many matches there could be."""
    hits = [_hits(s, alike, least) for s, alike in zip(scores, likenesses, strict=True)]
    sure = np.concatenate(list(scores))
    order = np.argsort(-sure, kind="stable")
    wanted = sum(each.shape[1] for each in likenesses)
    return np.cumsum(np.concatenate(hits)[order]), sure[order], wanted


def _hits(scores: FloatArray, alike: FloatArray, least: float) -> NDArray[np.bool_]:
    hits = np.zeros(len(scores), bool)
    left = alike.copy()
    if not left.size:
        return hits
    for index in np.argsort(-scores, kind="stable"):
        best = int(left[index].argmax())
        if left[index, best] >= least:
            hits[index] = True
            left[:, best] = -np.inf
    return hits


def _named(page: SeenPage) -> NDArray[np.bool_]:
    """Whether the surest candidate at the place of each true symbol has its name."""
    truth, seen = page.truth, page.seen
    sizes = (truth.edges[:, 2:] - truth.edges[:, :2]).max(axis=1)
    reach = np.maximum(page.space_px / 2, 0.15 * sizes)
    right = np.zeros(len(truth.kinds), bool)
    for index, centre in enumerate(truth.centres):
        near = np.linalg.norm(seen.centres - centre, axis=1) <= reach[index]
        if near.any():
            right[index] = seen.kinds[near][seen.scores[near].argmax()] == truth.kinds[index]
    return right
