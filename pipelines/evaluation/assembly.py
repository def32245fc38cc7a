"""How much assembly alone loses: engraved pages with known symbols against their own notes.

    python -m pipelines.evaluation.assembly FOLDER [--most 100] [--tools ../shared/tools]

FOLDER holds engraved pages (`pipelines.engraving.pages`). Prints pitch, onset and note F1 as score_omr.py
counts them, page by page and over all, with perfect symbols and with such mistakes as models make.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np

from pipelines.engraving.pages import EngravedPage
from pipelines.evaluation.engraved_symbols import Mistakes, recognised
from services.omr.assembly.assemble import assemble
from services.omr.assembly.recognition import Recognition
from services.omr.vocabulary import CLASSES, HEADS

Measures = list[list[tuple[float, str, float]]]

_STEPS: Final = "CDEFGAB"
_SIGNS: Final = {-2: "bb", -1: "b", 0: "", 1: "#", 2: "##"}
_USUAL: Final = Mistakes(missed=0.02, invented=0.01, confused=0.01, jitter_px=1.0)
_MEASURES: Final = ("pitch_f1", "onset_f1", "note_f1", "measures_right")


def true_measures(page: EngravedPage) -> Measures:
    """For each measure its notes: onset and duration in quarters, pitch as score_omr.py spells it."""
    measures: Measures = [[] for _ in page.measures]
    for row in page.symbols:
        if CLASSES[int(row["kind"])] in HEADS and row["grace"] != 1 and row["diatonic"] >= 0:
            step, octave = _STEPS[int(row["diatonic"]) % 7], int(row["diatonic"]) // 7
            pitch = f"{step}{_SIGNS.get(int(row['alter']), '?')}{octave}"
            measures[int(row["measure"])].append(
                (round(float(row["onset"]), 2), pitch, round(float(row["length"]), 2))
            )
    return measures


def found_measures(recognition: Recognition) -> Measures:
    """The same of what was recognised."""
    if recognition.score is None:
        return []
    measures: Measures = [[] for _ in recognition.score.parts[0].measures]
    for note in recognition.notes:
        if not note.grace:
            pitch = f"{note.pitch.step}{_SIGNS[note.pitch.alter]}{note.pitch.octave}"
            measures[note.measure].append(
                (round(float(note.onset), 2), pitch, round(float(note.duration), 2))
            )
    return measures


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=100, help="pages to take, evenly from all")
    parser.add_argument("--tools", type=Path, default=Path("../shared/tools"), help="folder of score_omr.py")
    args = parser.parse_args()
    judge = _judge(args.tools)
    stems = sorted(args.folder.glob("**/*.npz"))
    chosen = [
        stems[i] for i in np.unique(np.linspace(0, len(stems) - 1, min(args.most, len(stems))).astype(int))
    ]
    for name, mistakes in (("perfect symbols", Mistakes()), ("usual mistakes", _USUAL)):
        print(name)
        _print_table(chosen, mistakes, judge)
    return 0


def _judge(tools: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("score_omr", tools / "score_omr.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(tools / "score_omr.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _print_table(stems: Sequence[Path], mistakes: Mistakes, judge: ModuleType) -> None:
    rows = []
    for seed, stem in enumerate(stems):
        page = EngravedPage.load(stem.with_suffix(""))
        seen = recognised(page, mistakes, seed)
        start = time.process_time()
        recognition = assemble([seen])
        seconds = time.process_time() - start
        scores = judge.compare(true_measures(page), found_measures(recognition))
        rows.append([scores[name] for name in _MEASURES])
        figures = "  ".join(f"{name} {value:.4f}" for name, value in zip(_MEASURES, rows[-1], strict=True))
        print(f"  {stem.stem:24s} {figures}  {seconds:.2f} s", flush=True)
    means = "  ".join(f"{name} {value:.4f}" for name, value in zip(_MEASURES, np.mean(rows, 0), strict=True))
    print(f"  {'mean over pages':24s} {means}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
