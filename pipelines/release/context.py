"""Makes a version of the `context` model from a training run: `python -m pipelines.release.context`."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from pipelines.cache import cache_folder
from pipelines.release.export_context import export, load_network
from pipelines.release.record import LICENCE, commit
from pipelines.training.checkpoints import CHECKPOINT
from services.omr.contract import CONTEXT

DATA = (
    "What the `symbols` model finds on pictures of pages that Verovio engraved of OpenScore Lieder and "
    "String Quartets (CC0), works of music21's corpus and random notation, damaged as by scanners and "
    "phones. No real scan."
)


def make_card(run: Path, model: Path, version: int, difference: float) -> dict[str, Any]:
    """Describe an exported model."""
    state = torch.load(run / CHECKPOINT, map_location="cpu")
    shares = json.loads((run / "validation.json").read_text())
    return {
        "name": CONTEXT.model,
        "version": version,
        "task": "rereading the symbols of a staff in their context",
        "data": DATA,
        "licence": LICENCE,
        "recipe": {**state["recipe"], "steps_done": state["step"]},
        "commit": commit(),
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "largest_difference_from_torch": difference,
        "measures": {
            "right on held-out pages, by the detector alone and after context": {
                name: [round(share, 4) for share in pair] for name, pair in shares.items()
            }
        },
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="context", help="name of the training run")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--version", type=int, default=1)
    args = parser.parse_args()
    run = cache_folder("runs", args.run)
    folder = args.repository / CONTEXT.model
    model = folder / str(args.version) / "model.onnx"
    difference = export(load_network(run / CHECKPOINT), model)
    print(f"exported {model} ({model.stat().st_size / 2**20:.1f} MiB); differs by at most {difference:.1e}")
    card = make_card(run, model, args.version, difference)
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card["measures"], indent=2))


if __name__ == "__main__":
    main()
