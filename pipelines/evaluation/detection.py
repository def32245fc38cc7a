"""Scores the finding and naming of symbols on rendered pages that training never saw: `make eval-symbols`.

Pages go the way of uploads, clean and as scanners and phones take them: prepared, cut into tiles, looked at
by the released model in this process.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from pipelines.cache import cache_folder
from pipelines.engraving.pages import EngravedPage
from pipelines.engraving.pictures import Means, staff_space, take_picture
from pipelines.evaluation.detection_measures import (
    Boxes,
    ClassScores,
    FloatArray,
    SeenPage,
    mean_scores,
    score_pages,
)
from pipelines.release.served import SymbolsModel
from services.omr import tiles
from services.omr.assembly.boxes import to_upload
from services.omr.contract import CLASS, HEIGHT, SCORE, STAFF_SPACE_PX, WIDTH, X, Y
from services.omr.page import PreparedPage
from services.omr.steps import TileModel
from services.omr.straighten import prepare
from services.omr.symbols import resolve
from services.omr.vocabulary import CLASS_INDEX, CLASSES

_LEAST_SCORE: Final = 0.02


def see(page: EngravedPage, model: TileModel) -> SeenPage:
    """Have a picture of a page read: prepared as an upload is, looked at, and told in px of the picture."""
    prepared = prepare(page.image)
    placed = tiles.place(prepared.image)
    stitcher = tiles.Stitcher(prepared.image.shape, placed, np.full(len(CLASSES), _LEAST_SCORE, np.float32))
    for index, tile in enumerate(placed):
        stitcher.put(index, *model(tiles.cut(prepared.image, tile)))
    candidates = stitcher.candidates()
    rows = [(CLASS_INDEX[s.kind], s.confidence, s.x, s.y, s.width, s.height) for s in resolve(candidates)]
    resolved = np.array(rows, float).reshape(-1, 6)
    raw = candidates[:, [CLASS, SCORE, X, Y, WIDTH, HEIGHT]].astype(float)
    return SeenPage(truth_of(page), _boxes(prepared, resolved), _boxes(prepared, raw), staff_space(page))


def truth_of(page: EngravedPage) -> Boxes:
    """The symbols printed on a page."""
    symbols = page.symbols
    x, y, width, height = (symbols[name].astype(float) for name in ("x", "y", "width", "height"))
    edges = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 1)
    return Boxes(symbols["kind"].astype(np.int64), edges, np.ones(len(symbols)))


def _boxes(prepared: PreparedPage, rows: FloatArray) -> Boxes:
    """Rows of class, score, centre and size on the prepared page, as boxes on the picture.

    Sizes are scaled rather than turned: a box around a box that stands askew would be larger than the symbol.
    """
    x, y = to_upload(prepared, rows[:, 2], rows[:, 3])
    right, _ = to_upload(prepared, rows[:, 2] + STAFF_SPACE_PX, rows[:, 3])
    _, below = to_upload(prepared, rows[:, 2], rows[:, 3] + STAFF_SPACE_PX)
    half_width = np.abs(right - x) / STAFF_SPACE_PX * rows[:, 4] / 2
    half_height = np.abs(below - y) / STAFF_SPACE_PX * rows[:, 5] / 2
    edges = np.stack([x - half_width, y - half_height, x + half_width, y + half_height], 1)
    return Boxes(rows[:, 0].astype(np.int64), edges, rows[:, 1])


def table(scores: Sequence[ClassScores]) -> str:
    """The table as Markdown."""
    lines = [
        f"| {'class':24} | {'count':>6} | {'AP 0.5':>6} | {'AP':>5} | {'AP centre':>9} | {'named':>5} "
        f"| {'F1':>5} | {'from':>5} |",
        "|" + "|".join(f" {'-' * (width - 1)}: " for width in (24, 6, 6, 5, 9, 5, 5, 5)) + "|",
    ]
    for each in scores:
        ap50, ap = ("-" if value is None else f"{value:.3f}" for value in (each.ap50, each.ap))
        lines.append(
            f"| {each.name:24} | {each.count:6} | {ap50:>6} | {ap:>5} "
            f"| {each.ap_centre:9.3f} | {each.named:5.3f} | {each.f1:5.3f} | {each.least_score:5.2f} |"
        )
    return "\n".join(lines)


def validation_pages(folder: Path, count: int) -> Iterable[EngravedPage]:
    """Some of the pages held out from training, evenly spread over them all."""
    stems = sorted(path.with_suffix("") for path in folder.glob("*.npz"))
    chosen = np.unique(np.linspace(0, len(stems) - 1, min(count, len(stems))).round().astype(int))
    return (EngravedPage.load(stems[index]) for index in chosen)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Score the finding and naming of symbols on rendered pages.")
    parser.add_argument("--pages", type=Path, default=cache_folder("pages", "validation"))
    parser.add_argument("--count", type=int, default=12, help="how many pages, clean and damaged each")
    parser.add_argument("--out", type=Path, default=cache_folder("evaluation", "omr"))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    model = SymbolsModel.released()
    report: dict[str, list[ClassScores]] = {}
    for means in Means:
        random = np.random.default_rng(7)
        taken = [take_picture(page, means, random) for page in validation_pages(args.pages, args.count)]
        if not taken:
            print(f"No rendered pages in {args.pages}: `make train-symbols` makes them.", file=sys.stderr)
            return 1
        scores = score_pages([see(page, model) for page in taken])
        report[means.value] = [*scores, mean_scores(scores)]
        print(f"{means.value}, {len(taken)} pages\n{table(report[means.value])}\n", flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "detection.md").write_text(
        "\n".join(f"## {name}\n\n{table(scores)}\n" for name, scores in report.items())
    )
    rows = {name: [asdict(each) for each in scores] for name, scores in report.items()}
    (args.out / "detection.json").write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
