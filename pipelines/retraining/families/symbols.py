"""The `symbols` model: engraved pages -> tiles -> network -> ONNX."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from pipelines.release.export_symbols import TOLERANCE, difference, load_network
from pipelines.release.export_symbols import export as export_network
from pipelines.release.profiles import measured
from pipelines.release.record import LICENCE
from pipelines.release.symbols import DATA, LEAST_SCORE, reader_of_file
from pipelines.retraining.families import pages
from pipelines.retraining.results import RUN, WEIGHTS
from pipelines.retraining.run import RunRecord, Start, write_json
from pipelines.training.checkpoints import CHECKPOINT
from pipelines.training.curves import LOSSES, VALIDATION
from pipelines.training.distributed import ranks
from pipelines.training.symbols.recipe import Recipe
from pipelines.training.symbols.released import read_weights
from pipelines.training.symbols.train import Trainer
from pipelines.training.symbols.validation import validate, validation_tiles
from services.omr.contract import SYMBOLS, TILE_PX

#: From the champion on, training goes in small steps.
_GENTLE: Final = 1e-4
#: Tiles compared, and tiles that the card's measures are of.
_COMPARED: Final = 4
_MEASURED: Final = 192


def build(collected: Path, record: RunRecord, folder: Path) -> None:
    """Engrave the pages."""
    pages.make(collected, record, folder)


def _recipe(record: RunRecord) -> Recipe:
    budget, usual = record.budget, Recipe()
    gentle = record.start is Start.CHAMPION
    small = bool(budget.side)
    return Recipe(
        seed=record.seed,
        tile_px=budget.side or usual.tile_px,
        batch=budget.batch or usual.batch,
        steps=budget.steps,
        warm_up=min(usual.warm_up, budget.steps // 4),
        learning_rate=_GENTLE if gentle else usual.learning_rate,
        pages_in_memory=min(usual.pages_in_memory, budget.made),
        report_every=min(usual.report_every, max(1, budget.steps // 8)),
        save_every_s=10.0 if small else usual.save_every_s,
        validated=min(usual.validated, 2 * budget.validation),
        frozen_norms=gentle,
    )


def train(collected: Path, built: Path, record: RunRecord, champion: Path, folder: Path) -> None:
    """Train on the engraved pages."""
    start = read_weights(champion / "model.onnx") if record.start is Start.CHAMPION else None
    recipe, run = _recipe(record), folder / RUN
    run.mkdir(exist_ok=True)
    with ranks() as together:
        trainer = Trainer(recipe, run, built, together, start, limit_s=60 * record.budget.minutes)
        trainer.run()
        if not together.leads:
            return
    state = torch.load(run / CHECKPOINT, map_location="cpu", weights_only=False)
    torch.save({name: state[name] for name in ("recipe", "step", "average")}, folder / WEIGHTS)
    write_json(folder / "recipe.json", asdict(recipe) | {"steps_done": state["step"]})
    for name in (LOSSES, VALIDATION, "curves.png"):
        shutil.copyfile(run / name, folder / name)


def export(trained: Path, model: Path) -> None:
    """Export the averaged weights; what they make of plain tiles is compared."""
    random = np.random.default_rng(0)
    tiles = random.integers(0, 256, (2, TILE_PX, TILE_PX)).astype(np.uint8)
    export_network(load_network(trained / WEIGHTS), model, tiles)


def parity(built: Path, trained: Path, model: Path) -> Mapping[str, float]:
    """Compare on damaged tiles of the validation pages."""
    tiles = validation_tiles(built / pages.VALIDATION, _COMPARED, TILE_PX)
    apart = difference(load_network(trained / WEIGHTS), model, np.stack([tile.image for tile in tiles]))
    if apart > TOLERANCE:
        raise ValueError(f"ONNX Runtime differs from torch by {apart:.4f} on real tiles.")
    return {"largest": apart, "tolerated": TOLERANCE}


def card(
    collected: Path, built: Path, trained: Path, model: Path, champion: Mapping[str, Any]
) -> dict[str, Any]:
    """Measure on damaged tiles of the validation pages."""
    count = min(_MEASURED, 4 * len(list((built / pages.VALIDATION).glob("*.npz"))))
    tiles = validation_tiles(built / pages.VALIDATION, count, TILE_PX)
    return {
        "name": SYMBOLS.model,
        "task": "symbols of printed music",
        **pages.told(built, DATA),
        "licence": LICENCE,
        "recipe": json.loads((trained / "recipe.json").read_text("utf-8")),
        "thresholds": {"default": LEAST_SCORE},
        "measures": {
            "damaged tiles of engraved pages, other scores": asdict(validate(reader_of_file(model), tiles))
        },
    }


def profile(model: Path, card: Mapping[str, Any], record: RunRecord) -> Mapping[str, Any]:
    """Measure on pictures of held-out pages."""
    return measured(SYMBOLS.model, model, card, record.budget.profiled)
