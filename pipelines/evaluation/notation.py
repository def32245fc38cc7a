"""How well performed notes are notated, against the scores they were performed from.

Measures: beat F-measure and continuity (`mir_eval.beat`, 70 ms), downbeat F-measure, share of pieces
with the right metre and the right key signature, share of notes with the right written value, the
right hand and the right spelling, and ties a note beside the original's.

    python -m pipelines.evaluation.notation ../shared/data/scores/lieder --pieces 60
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import mir_eval
import numpy as np

from pipelines.evaluation.notation_truth import PerformedScore, WrittenScore, perform, read_score
from services.music.notate import notate
from services.music.score import Score

EVALUATION_PIECES = 60

MEASURES = {
    "beat_f1": "beat F1",
    "beat_cml": "beats right, any level",
    "downbeat_f1": "downbeat F1",
    "metre": "metre right",
    "metre_kind": "metre's kind right (duple, triple, compound)",
    "key": "key signature right",
    "value": "note value right",
    "value_scaled": "note value right, any level",
    "hand": "hand right",
    "spelling": "spelling right",
    "ties": "ties a note",
    "speed": "notes a second (thousands)",
}


def evaluate_piece(truth: WrittenScore, played: PerformedScore) -> dict[str, float]:
    """The measures of one performance, by the names of `MEASURES`."""
    started = time.perf_counter()
    score = notate(played.notes)
    took = time.perf_counter() - started
    beats = np.array(score.tempo.beats_s)
    beats = beats[(beats >= 0) & (beats <= played.notes[-1].onset_s + 0.1)]
    reference = played.beats_s[played.beats_s <= played.notes[-1].onset_s + 0.1]
    continuity = mir_eval.beat.continuity(reference, beats)
    figures = {
        "beat_f1": mir_eval.beat.f_measure(reference, beats),
        "beat_cml": continuity[3],
        "downbeat_f1": mir_eval.beat.f_measure(played.downbeats_s, _downbeats(score)),
        "metre": float(_same_metre((score.metre.beats, score.metre.beat_type), truth.metre)),
        "metre_kind": float(_kind(score.metre.beats, score.metre.beat_type) == _kind(*truth.metre)),
        "key": float(score.key.fifths == truth.fifths),
        "speed": len(played.notes) / took / 1000,
    }
    figures.update(_note_figures(score, played))
    return figures


def _same_metre(found: tuple[int, int], true: tuple[int, int]) -> bool:
    """Cut time and common time sound alike."""
    alike = {(2, 2): (4, 4)}
    return alike.get(found, found) == alike.get(true, true)


def _kind(beats: int, beat_type: int) -> str:
    compound = beats in (3, 6, 9, 12) and beat_type >= 8
    felt = beats // 3 if compound else beats
    return f"{'compound ' if compound else ''}{'triple' if felt == 3 else 'duple'}"


def _downbeats(score: Score) -> np.ndarray:
    tempo = score.tempo
    positions = float(tempo.start) + float(tempo.unit) * np.arange(len(tempo.beats_s))
    starts = np.array([float(start) for start in score.measure_starts()[:-1]])
    return np.unique(np.interp(starts[starts >= positions[0]], positions, tempo.beats_s))


def _note_figures(score: Score, played: PerformedScore) -> dict[str, float]:
    values: dict[int, Fraction] = {}
    staff: dict[int, int] = {}
    step: dict[int, str] = {}
    ties = 0
    for _, voice, chord in score.chords():
        for head in chord.heads:
            if head.source is not None:
                values[head.source] = values.get(head.source, Fraction(0)) + chord.duration
                staff[head.source], step[head.source] = voice.staff, head.pitch.step
                ties += head.tied_on
    pairs = [(i, w) for i, w in enumerate(played.written) if w is not None]
    found = [(i, w) for i, w in pairs if i in values]
    ratios = [float(values[i] / w.duration) for i, w in found]
    level = min((0.5, 1.0, 2.0), key=lambda scale: -sum(abs(r - scale) < 1e-6 for r in ratios))
    count = max(len(pairs), 1)
    return {
        "value": sum(abs(r - 1) < 1e-6 for r in ratios) / count,
        "value_scaled": sum(abs(r - level) < 1e-6 for r in ratios) / count,
        "hand": sum(staff[i] == w.staff for i, w in found) / count,
        "spelling": sum(step[i] == w.step for i, w in found) / count,
        "ties": ties / count,
    }


def evaluation_files(folder: Path, pieces: int = EVALUATION_PIECES) -> list[Path]:
    """So many of a folder's scores, spread evenly; the default ones are never fitted on."""
    files = sorted(folder.glob("*.mxl"))
    return files[:: max(1, len(files) // pieces)]


def evaluate(files: Iterable[Path], seed: int = 1) -> list[tuple[str, dict[str, float]]]:
    """The measures of every file that has a piano part of some length."""
    results = []
    for path in files:
        truth = read_score(path)
        if truth is None or len(truth.notes) < 60:
            continue
        rng = np.random.default_rng([seed, *path.stem.encode()])
        results.append((path.stem, evaluate_piece(truth, perform(truth, rng))))
    return results


def main() -> None:
    """Print each piece's figures and the means over all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of .mxl scores with piano parts")
    parser.add_argument(
        "--pieces", type=int, default=EVALUATION_PIECES, help="how many of them, spread evenly"
    )
    parser.add_argument("--each", action="store_true", help="print every piece too")
    arguments = parser.parse_args()
    results = evaluate(evaluation_files(arguments.folder, arguments.pieces))
    if arguments.each:
        for name, figures in results:
            print(name, " ".join(f"{key}={value:.2f}" for key, value in figures.items()))
    print(f"{len(results)} pieces")
    for key, name in MEASURES.items():
        print(f"{name:48s} {np.mean([figures[key] for _, figures in results]):.3f}")


if __name__ == "__main__":
    main()
