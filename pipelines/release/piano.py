"""Makes a version of the `piano` model from a training run: `python -m pipelines.release.piano`.

Exports the averaged weights, chooses the decoding thresholds on held-out instruments, measures the
exported file itself there, and writes `card.json`: what the model is, what it was made from, and what
it can do (`pipelines.release.profiles` adds what drift is measured against).
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from pipelines.cache import cache_folder
from pipelines.evaluation.thresholds import choose, score_all
from pipelines.performing.pianos import HELD_OUT, TRAINING_SHARES
from pipelines.release.export_piano import export, load_network
from pipelines.release.record import LICENCE, commit
from pipelines.training.checkpoints import CHECKPOINT
from pipelines.training.piano.clips import pieces, validation_clips
from services.amt.chunks import Stitcher, cut
from services.amt.contract import PIANO

DATA = (
    "Synthetic: OpenScore Lieder and String Quartets (CC0) and works of music21's corpus, performed with "
    "expression, and random piano textures, played on sampled, sound-font and computed pianos, damaged. "
    "No real recording."
)


class ServedModel:
    """The exported file, called as the audio service calls it."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def posteriors(self, samples: np.ndarray) -> np.ndarray:
        """Posteriors uint8 [4, T, 88] of int16 samples, on the contract's grid of chunks."""
        stitcher = Stitcher(samples.size)
        for index, chunk in enumerate(cut(samples)):
            answer = self._session.run(None, {PIANO.inputs[0].name: chunk[None]})[0]
            stitcher.put(index, answer[0])
        return stitcher.posteriors


def make_card(checkpoint: Path, model: Path, version: int) -> dict[str, Any]:
    """Measure the exported model and describe it."""
    served = ServedModel(model)
    excerpts = validation_clips(count=48)
    heard = [(served.posteriors(audio), truth.astype(float)) for audio, truth in excerpts]
    # Even excerpts choose the thresholds, odd ones measure: no number is read off its own choice.
    thresholds = choose(heard[::2])
    state = torch.load(checkpoint, map_location="cpu")
    measures = {"held-out synthetic pianos": asdict(score_all(heard[1::2], thresholds))}
    return {
        "name": PIANO.model,
        "version": version,
        "task": "piano transcription",
        "data": DATA,
        "instruments": {"training": sorted(TRAINING_SHARES), "held_out": list(HELD_OUT)},
        "hours_of_pieces": len(pieces()) / 60,
        "licence": LICENCE,
        "recipe": {**state["recipe"], "steps_done": state["step"]},
        "commit": commit(),
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "thresholds": asdict(thresholds),
        "measures": measures,
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="piano", help="name of the training run")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--version", type=int, default=1)
    args = parser.parse_args()
    checkpoint = cache_folder("runs", args.run) / CHECKPOINT
    folder = args.repository / PIANO.model
    model = folder / str(args.version) / "model.onnx"
    differing = export(load_network(checkpoint), model)
    print(f"exported {model} ({model.stat().st_size / 2**20:.1f} MiB); {differing:.2e} of values differ")
    card = make_card(checkpoint, model, args.version)
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps({"thresholds": card["thresholds"], "measures": card["measures"]}, indent=2))


if __name__ == "__main__":
    main()
