"""Fit how readings of the pulse are weighed, on performances of scores whose metre is known.

Every score's piano part is performed once; every reading that `services.music.pulse` considers is
compared with the truth (beat and downbeat F-measure, time signature), and a small network is fitted so
that its softmax over the readings of a piece prefers the truer ones. The result is the data file that
`services.music.pulse` loads. Scores used by `pipelines.evaluation.notation` are left out.

    python -m pipelines.evaluation.notation_fit SCORES --out services/music/readings.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mir_eval
import numpy as np
from scipy.optimize import minimize

from pipelines.evaluation.notation import evaluation_files
from pipelines.evaluation.notation_truth import PerformedScore, WrittenScore, excerpt, perform, read_score
from services.music.performance import gather
from services.music.pulse import readings

HIDDEN = 8
FITS = 3
#: Of each piece so many excerpts of 6 to 19 measures are learned from too.
EXCERPTS = 2
SHRINKAGE = 3e-3
SHARPNESS = 6.0
#: Evidence further than so many standard deviations from its mean counts as so far.
CLIP = 4.0
#: Signatures that sound alike are one.
ALIKE = {(2, 2): (4, 4), (4, 2): (4, 4), (3, 2): (3, 4), (6, 16): (6, 8), (4, 8): (4, 4)}


@dataclass(frozen=True, slots=True)
class Weighed:
    """The readings of one performance: evidence [readings, evidence] and truth of each [readings]."""

    evidence: np.ndarray
    truth: np.ndarray


def weigh(score: WrittenScore, played: PerformedScore) -> Weighed:
    """Every reading's evidence, and how true it is: beat F + downbeat F + half a point for the metre."""
    performance = gather(played.notes)
    end = performance.chord_s[-1] + 0.1
    found = readings(performance, None)
    truth = []
    for reading in found:
        beats = reading.pulse.beats_s
        downbeats = beats[reading.bars.first_downbeat :: reading.bars.beats]
        pairs = ((played.beats_s, beats), (played.downbeats_s, downbeats))
        marks = sum(mir_eval.beat.f_measure(_until(a, end), _until(b, end)) for a, b in pairs)
        same = (reading.metre.beats, reading.metre.beat_type) == ALIKE.get(score.metre, score.metre)
        truth.append(marks + 0.5 * same)
    return Weighed(np.array([reading.evidence for reading in found]), np.array(truth))


def _until(times: np.ndarray, end: float) -> np.ndarray:
    return times[(times >= 0) & (times <= end)]


class Softmax:
    """A network of one hidden layer whose softmax runs over the readings of each piece."""

    def __init__(self, pieces: Sequence[Weighed]) -> None:
        evidence = np.vstack([piece.evidence for piece in pieces])
        self.mean, self.spread = evidence.mean(axis=0), evidence.std(axis=0) + 1e-9
        self.inputs = np.clip((evidence - self.mean) / self.spread, -CLIP, CLIP)
        sizes = [len(piece.truth) for piece in pieces]
        self.starts = np.cumsum([0, *sizes[:-1]])
        self.owner = np.repeat(np.arange(len(pieces)), sizes)
        wanted = [np.exp(SHARPNESS * (piece.truth - piece.truth.max())) for piece in pieces]
        self.wanted = np.concatenate([each / each.sum() for each in wanted])
        self.count = len(pieces)

    def split(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Hidden weights and biases, output weights, and direct weights, out of one vector."""
        size = self.inputs.shape[1]
        ends = np.cumsum([size * HIDDEN, HIDDEN, HIDDEN])
        hidden, bias, out, direct = np.split(weights, ends)
        return hidden.reshape(size, HIDDEN), bias, out, direct

    def loss(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Cross-entropy with shrinkage, and its gradient."""
        hidden, bias, out, direct = self.split(weights)
        active = np.tanh(self.inputs @ hidden + bias)
        scores = active @ out + self.inputs @ direct
        scores -= np.maximum.reduceat(scores, self.starts)[self.owner]
        total = np.add.reduceat(np.exp(scores), self.starts)[self.owner]
        log_share = scores - np.log(total)
        slope = (np.exp(log_share) - self.wanted) / self.count
        back = np.outer(slope, out) * (1 - active**2)
        gradient = [(self.inputs.T @ back).ravel(), back.sum(axis=0), active.T @ slope, self.inputs.T @ slope]
        value = -(self.wanted * log_share).sum() / self.count + SHRINKAGE * (weights**2).sum()
        return float(value), np.concatenate(gradient) + 2 * SHRINKAGE * weights

    def fit(self, seed: int) -> np.ndarray:
        """The weights that minimise the loss."""
        size = self.inputs.shape[1]
        start = np.random.default_rng(seed).normal(0, 0.1, size * HIDDEN + 2 * HIDDEN + size)
        return minimize(self.loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 400}).x


def main() -> None:
    """Perform, weigh, fit, and write the data file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of .mxl scores with piano parts")
    parser.add_argument("--out", type=Path, required=True, help="where the fitted weights go")
    parser.add_argument("--every", type=int, default=2, help="use every so-manieth score")
    parser.add_argument("--seed", type=int, default=9)
    arguments = parser.parse_args()
    kept_out = set(evaluation_files(arguments.folder))
    pieces = []
    for path in [f for f in sorted(arguments.folder.glob("*.mxl")) if f not in kept_out][:: arguments.every]:
        score = read_score(path)
        if score is not None and len(score.notes) >= 60:
            rng = np.random.default_rng([arguments.seed, *path.stem.encode()])
            pieces.append(weigh(score, perform(score, rng)))
            for _ in range(EXCERPTS):
                first, count = rng.integers(0, max(len(score.measures) - 20, 1)), rng.integers(6, 20)
                short = excerpt(score, int(first), int(count))
                if len(short.notes) >= 20:
                    pieces.append(weigh(short, perform(short, rng)))
            print(f"\r{len(pieces)} pieces", end="", flush=True)
    network = Softmax(pieces)
    fits = [network.fit(seed) for seed in range(FITS)]
    write_weights(arguments.out, network, min(fits, key=lambda weights: network.loss(weights)[0]))
    print(f"\nwrote {arguments.out}")


def write_weights(path: Path, network: Softmax, weights: np.ndarray) -> None:
    """The data file: evidence is centred, scaled and clipped, then weighed by one hidden layer."""
    hidden, bias, out, direct = network.split(weights)
    parts = {
        "mean": network.mean,
        "spread": network.spread,
        "hidden": hidden,
        "bias": bias,
        "out": out,
        "direct": direct,
    }
    path.write_text(json.dumps({name: np.round(part, 4).tolist() for name, part in parts.items()}) + "\n")


if __name__ == "__main__":
    main()
