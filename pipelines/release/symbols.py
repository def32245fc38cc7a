"""Makes a version of the `symbols` model from a training run: `python -m pipelines.release.symbols`.

Exports the averaged weights, measures the exported file itself on damaged pages of scores that training never
saw, and writes `card.json`: what the model is, what it was made from, and what it can do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipelines.cache import cache_folder
from pipelines.release.export_symbols import export, load_network, read_checkpoint
from pipelines.release.record import LICENCE, commit
from pipelines.training.checkpoints import CHECKPOINT
from pipelines.training.symbols.validation import TileReader, validate, validation_tiles
from services.omr.contract import SYMBOLS, TILE_PX

DATA: Final = (
    "Synthetic: OpenScore Lieder and String Quartets (CC0), works of music21's corpus and random notation, "
    "engraved by Verovio in several fonts and looks, damaged as printing, copying and scanning damage. "
    "No real scan."
)
#: Candidates below this are dropped. It is low since `context` decides among the doubtful ones.
LEAST_SCORE: Final = 0.15
_TILES: Final = 192
#: Tiles on which ONNX Runtime is compared with the framework.
_COMPARED: Final = 4


def reader_of_file(model: Path) -> TileReader:
    """An exported model as a reader of tiles."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])

    def read(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        candidates: NDArray[np.float32] = session.run(
            [SYMBOLS.outputs[0].name], {SYMBOLS.inputs[0].name: images}
        )[0]
        return candidates

    return read


def make_version(checkpoint: Path, pages: Path, folder: Path, version: int) -> dict[str, Any]:
    """Export and measure a version.

    Args:
        checkpoint: of the training run.
        pages: the folder of engraved pages, with `train` and `validation`.
        folder: of the model in the repository; the version's folder is made in it.
        version: its number.

    Returns:
        its card.
    """
    model = folder / str(version) / "model.onnx"
    tiles = validation_tiles(pages / "validation", _TILES, TILE_PX)
    export(load_network(checkpoint), model, np.stack([tile.image for tile in tiles[:_COMPARED]]))
    state = read_checkpoint(checkpoint)
    return {
        "name": SYMBOLS.model,
        "version": version,
        "task": "symbols of printed music",
        "data": DATA,
        "pages": len(list((pages / "train").glob("*.npz"))),
        "licence": LICENCE,
        "recipe": {**state["recipe"], "steps_done": state["step"]},
        "commit": commit(),
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
        "thresholds": {"default": LEAST_SCORE},
        "measures": {
            "damaged tiles of engraved pages, other scores": asdict(validate(reader_of_file(model), tiles))
        },
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", default="symbols", help="name of the training run")
    parser.add_argument("--repository", type=Path, default=Path("model_repository"))
    parser.add_argument("--version", type=int, default=1)
    args = parser.parse_args()
    checkpoint = cache_folder("runs", args.run) / CHECKPOINT
    folder = args.repository / SYMBOLS.model
    card = make_version(checkpoint, cache_folder("pages"), folder, args.version)
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card["measures"], indent=2))


if __name__ == "__main__":
    main()
