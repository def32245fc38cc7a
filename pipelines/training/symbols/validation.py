"""How well tiles of pages that training never sees are read, by a network or by an exported model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pipelines.training.symbols.network import SymbolsNetwork
from pipelines.training.symbols.served import served
from pipelines.training.symbols.shelf import Shelf, somewhere
from pipelines.training.symbols.tiles import Tile, cut
from services.omr.contract import CLASS, DURATION, HIGHEST_POSITION, POSITION, SCORE, STAFF_SPACE_PX, X, Y
from services.omr.vocabulary import CLASS_INDEX, CLASSES, HEADS

#: A symbol is found if a candidate of its class lies within half a staff space of its centre.
NEAR_PX: Final = STAFF_SPACE_PX / 2
#: From which score on a candidate counts as found, where one must be chosen.
_FOUND: Final = 0.35
#: Classes with fewer symbols than this have no average precision worth the name.
_FEWEST: Final = 5
#: Candidates below this score are not looked at.
_NOISE: Final = 0.02
#: So near to the tile's edge, a symbol may be seen or not: neither counts.
_EDGE_PX: Final = 12
#: Tiles given to a reader at a time.
_BATCH: Final = 8
_HEADS: Final = [CLASS_INDEX[head] for head in HEADS]


@dataclass(frozen=True)
class Scores:
    """Scores, 0 to 1.

    Attributes:
        head_f1: noteheads found.
        position: share of found heads with the right staff position.
        duration: share of found heads with the right duration.
        mean_ap: average precision (all-point), mean over the classes.
        by_class: average precision of each class that occurs often enough.
    """

    head_f1: float
    position: float
    duration: float
    mean_ap: float
    by_class: dict[str, float]


def validation_tiles(folder: Path, count: int, tile_px: int, seed: int = 77) -> list[Tile]:
    """Damaged tiles (a tenth clean) of the folder's pages, the same at every call."""
    random = np.random.default_rng(seed)
    shelf = Shelf(folder)
    shelf.look()
    tiles = []
    for _ in range(count):
        page, worth = shelf.draw(random)
        tiles.append(cut(random, page, somewhere(random, page, worth), tile_px, bool(random.random() < 0.1)))
    return tiles


#: Reads tiles uint8 [B, T, T]: candidates float32 [B, K, FIELDS].
TileReader = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def reader_of(network: SymbolsNetwork) -> TileReader:
    """A network as a reader of tiles."""

    @torch.inference_mode()
    def read(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        candidates: NDArray[np.float32] = served(network, torch.from_numpy(images))[0].cpu().numpy()
        return candidates

    return read


def matches(
    found: NDArray[np.float32], wanted: NDArray[np.void]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which candidates, best first, are which of the wanted symbols of the same class.

    Returns:
        for each candidate whether it is one, and the index of that symbol (-1).
    """
    which = np.full(len(found), -1)
    for kind in np.unique(found[:, CLASS]):
        mine, theirs = np.flatnonzero(found[:, CLASS] == kind), np.flatnonzero(wanted["kind"] == kind)
        if len(theirs) == 0:
            continue
        tree = cKDTree(np.stack([wanted["x"][theirs], wanted["y"][theirs]], 1))
        taken: set[int] = set()
        for index in mine:
            near = tree.query(found[index, [X, Y]], k=min(4, len(theirs)), distance_upper_bound=NEAR_PX)[1]
            free = [each for each in np.atleast_1d(near).tolist() if each < len(theirs) and each not in taken]
            if free:
                taken.add(free[0])
                which[index] = theirs[free[0]]
    return which >= 0, which


def average_precision(scores: NDArray[np.float32], hits: NDArray[np.bool_], wanted: int) -> float:
    """Area under precision over recall, precision made falling (Everingham et al. 2010)."""
    order = np.argsort(-scores, kind="stable")
    true = np.cumsum(hits[order])
    precision = true / np.arange(1, len(true) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(precision[hits[order]]) / wanted)


def validate(read: TileReader, tiles: list[Tile]) -> Scores:
    """Score a reader on tiles of one size."""
    compared = []
    for start in range(0, len(tiles), _BATCH):
        some = tiles[start : start + _BATCH]
        answers = read(np.stack([tile.image for tile in some]))
        compared.extend(_compare(tile, found) for tile, found in zip(some, answers, strict=True))
    found = np.concatenate([each.found for each in compared])
    truth = np.concatenate([each.truth for each in compared])
    wanted = sum((each.wanted for each in compared), np.zeros(len(CLASSES), int))
    by_class = {}
    for index in np.flatnonzero(wanted >= _FEWEST):
        mine = found[:, CLASS] == index
        precision = average_precision(found[mine, SCORE], truth["kind"][mine] >= 0, int(wanted[index]))
        by_class[CLASSES[index].value] = round(precision, 4)
    told = (found[:, SCORE] > _FOUND) & np.isin(found[:, CLASS], _HEADS)
    right = told & (truth["kind"] >= 0)
    placed = right & (np.abs(truth["position"]) <= HIGHEST_POSITION)
    timed = right & (truth["duration"] >= 0)
    return Scores(
        head_f1=float(2 * right.sum() / max(1, told.sum() + wanted[_HEADS].sum())),
        position=_share((truth["position"] == found[:, POSITION])[placed]),
        duration=_share((truth["duration"] == found[:, DURATION].argmax(1))[timed]),
        mean_ap=float(np.mean(list(by_class.values()) or [0.0])),
        by_class=by_class,
    )


@dataclass(frozen=True)
class _Compared:
    """What was found in a tile, beside what each of it is.

    Attributes:
        found: candidates [n, FIELDS].
        truth: the symbol that each is, [n]; of kind -1 where it is none.
        wanted: number of symbols of each class.
    """

    found: NDArray[np.float32]
    truth: NDArray[np.void]
    wanted: NDArray[np.int64]


def _compare(tile: Tile, found: NDArray[np.float32]) -> _Compared:
    side, symbols = len(tile.image), tile.symbols
    sure = _inside(symbols["x"], symbols["y"], side)
    found = found[found[:, SCORE] > _NOISE]
    hits, which = matches(found, symbols)
    counted = _inside(found[:, X], found[:, Y], side)
    counted[hits] = sure[which[hits]]
    truth = np.zeros(len(found), symbols.dtype)
    truth["kind"] = -1
    truth[hits] = symbols[which[hits]]
    wanted = np.bincount(symbols["kind"][sure], minlength=len(CLASSES))
    return _Compared(found[counted], truth[counted], wanted)


def _share(right: NDArray[np.bool_]) -> float:
    return float(np.mean(right)) if right.size else 0.0


def _inside(x: NDArray[np.floating], y: NDArray[np.floating], side: int) -> NDArray[np.bool_]:
    return (x > _EDGE_PX) & (x < side - _EDGE_PX) & (y > _EDGE_PX) & (y < side - _EDGE_PX)
