"""Puts a candidate through all gates.

    python -m pipelines.evaluation.gates CHAMPION_FOLDER CANDIDATE_FOLDER

Each folder holds a version's `model.onnx` and `card.json`, or is a model's folder in the model repository.
Prints what the gates found, and exits with 1 where the candidate may not pass.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import cv2
from rich.console import Console

from pipelines.evaluation.gates.gate import judge
from pipelines.evaluation.gates.models import ModelFiles
from pipelines.evaluation.gates.report import draw, print_judgement, write_html
from pipelines.evaluation.gates.verdicts import BUDGETS
from services.errors import CopyistError


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("champion", type=Path)
    parser.add_argument("candidate", type=Path)
    parser.add_argument("--model", help="the model's name; by default the candidate's card tells it")
    parser.add_argument("--limit", type=int, help="the most pieces of a test set; by default all")
    parser.add_argument("--latency-ratio", type=float, default=BUDGETS.latency_ratio)
    parser.add_argument("--out", type=Path, help="folder for verdict.json, report.html and differences.png")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    try:
        model = args.model or str(ModelFiles.of(args.candidate).card.get("name"))
        budgets = replace(BUDGETS, latency_ratio=args.latency_ratio)
        judgement = judge(model, args.champion, args.candidate, args.limit, budgets)
    except CopyistError as error:
        print(error, file=sys.stderr)
        return 2
    print_judgement(judgement, Console())
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "verdict.json").write_text(judgement.verdict.encode(), "utf-8")
        write_html(judgement, args.out / "report.html")
        if judgement.comparison:
            draw(judgement.comparison, args.out / "differences.png")
    return 0 if judgement.verdict.passed else 1


if __name__ == "__main__":
    sys.exit(main())
