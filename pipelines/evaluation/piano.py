"""Scores the served `piano` model on real recordings: `make eval-piano`.

Every recording goes, whole, through a real stack over HTTP, with the thresholds of the model's card,
which were chosen on synthetic audio alone. basic-pitch stands beside it where it is installed.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipelines.evaluation.note_measures import NoteScores, as_rows, mean_scores, score_notes
from pipelines.evaluation.peers import basic_pitch, basic_pitch_installed
from services.client import Copyist
from services.local.stack import LocalStack

RECORDINGS = Path("../shared/data/recordings/piano")


def read_truth(path: Path) -> np.ndarray:
    """Rows of onset s, offset s, MIDI pitch, velocity from a tab-separated table with a header."""
    with path.open(newline="") as file:
        lines = [row for row in csv.reader(file, delimiter="\t") if row]
    rows = [row for row in lines if not row[0].lstrip("# ")[:1].isalpha()]
    return np.array([[float(value) for value in row[:4]] for row in rows]).reshape(-1, 4)


def recordings(folder: Path) -> list[Path]:
    """The recordings of `folder` that have a truth table beside them."""
    return sorted(p for p in folder.glob("*.flac") if p.with_suffix(".tsv").exists())


def score_service(url: str, files: list[Path]) -> list[NoteScores]:
    """Scores of what the audio service at `url` makes of each file."""
    with Copyist(url) as copyist:
        return [
            score_notes(read_truth(f.with_suffix(".tsv")), as_rows(copyist.transcribe(f).notes))
            for f in files
        ]


def score_basic_pitch(files: list[Path]) -> list[NoteScores]:
    """Scores of what basic-pitch makes of each file."""
    return [
        score_notes(read_truth(answer.file.with_suffix(".tsv")), answer.notes)
        for answer in basic_pitch(files)
    ]


def table(names: list[str], systems: dict[str, list[NoteScores]]) -> str:
    """A line for each recording and system, and the means."""
    measures = list(asdict(next(iter(systems.values()))[0]))
    lines = [f"{'recording':24}{'system':14}" + "".join(f"{m:>17}" for m in measures)]

    def line(name: str, system: str, scores: NoteScores) -> str:
        return f"{name:24}{system:14}" + "".join(f"{value:17.3f}" for value in asdict(scores).values())

    for index, name in enumerate(names):
        lines += [line(name, system, scores[index]) for system, scores in systems.items()]
    lines += [line("MEAN", system, mean_scores(scores)) for system, scores in systems.items()]
    return "\n".join(lines)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=Path, default=RECORDINGS)
    parser.add_argument("--url", help="a running audio service; by default one is started")
    parser.add_argument("--card", type=Path, help="write the mean scores into this model card")
    args = parser.parse_args()
    files = recordings(args.recordings)
    if not files:
        print(f"No recordings with truth tables in {args.recordings}.", file=sys.stderr)
        return 1
    systems = {}
    if args.url:
        systems["copyist"] = score_service(args.url, files)
    else:
        with LocalStack(report=print) as stack:
            systems["copyist"] = score_service(stack.http_url, files)
    if basic_pitch_installed():
        systems["basic-pitch"] = score_basic_pitch(files)
    else:
        print("basic-pitch is not installed (`make peer`): scored alone.")
    print(table([file.stem for file in files], systems))
    if args.card:
        card = json.loads(args.card.read_text())
        means = {k: round(v, 4) for k, v in asdict(mean_scores(systems["copyist"])).items()}
        card["measures"][f"{len(files)} recordings of {args.recordings}"] = means
        args.card.write_text(json.dumps(card, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
