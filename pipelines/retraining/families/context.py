"""The `context` model: engraved pages, read by the `symbols` model -> candidates -> network -> ONNX."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import cv2
import torch

from pipelines.release.context import DATA
from pipelines.release.export_context import TOLERANCE, difference, load_network
from pipelines.release.export_context import export as export_network
from pipelines.release.record import LICENCE
from pipelines.release.served import SymbolsModel
from pipelines.retraining.families import pages
from pipelines.retraining.results import RUN, WEIGHTS
from pipelines.retraining.run import RunRecord, Start, write_json
from pipelines.training.checkpoints import CHECKPOINT
from pipelines.training.context.candidates import make_candidates
from pipelines.training.context.released import read_network
from pipelines.training.context.train import Recipe, Staves
from pipelines.training.context.train import train as train_network
from pipelines.training.curves import LOSSES, VALIDATION
from pipelines.training.distributed import ranks
from services.omr.contract import CONTEXT

#: From the champion on, training goes in small steps.
_GENTLE: Final = 2e-4
#: Candidates of lower scores are not shown to the network.
_LEAST_SCORE: Final = 0.1
_PAGES: Final = "pages"


def build(collected: Path, record: RunRecord, folder: Path) -> None:
    """Engrave pages, and read them with the shipped `symbols` model: `train` and `validation`."""
    made = folder / _PAGES
    made.mkdir(exist_ok=True)
    pages.make(collected, record, made)
    cv2.setNumThreads(1)
    model = SymbolsModel.released()
    counts = {pages.VALIDATION: record.budget.validation, pages.TRAIN: record.budget.made}
    for name, count in counts.items():
        make_candidates(made / name, folder / name, count, record.seed, _LEAST_SCORE, model)
    shutil.move(made / pages.DATA, folder / pages.DATA)
    shutil.rmtree(made)


def train(collected: Path, built: Path, record: RunRecord, champion: Path, folder: Path) -> None:
    """Train on the candidates."""
    gentle = record.start is Start.CHAMPION
    start = read_network(champion / "model.onnx").state_dict() if gentle else None
    usual, budget, run = Recipe(), record.budget, folder / RUN
    recipe = Recipe(
        seed=record.seed,
        batch=budget.batch or usual.batch,
        learning_rate=_GENTLE if gentle else usual.learning_rate,
        most_steps=budget.steps,
        warm_up=min(usual.warm_up, max(1, budget.steps // 4)) if budget.steps else usual.warm_up,
        report_every=max(1, min(usual.report_every, budget.steps // 4))
        if budget.steps
        else usual.report_every,
        validate_every=max(1, min(usual.validate_every, budget.steps // 2))
        if budget.steps
        else usual.validate_every,
    )
    run.mkdir(exist_ok=True)
    train_on, validate_on = Staves.load(built / pages.TRAIN), Staves.load(built / pages.VALIDATION)
    with ranks() as together:
        train_network(recipe, run, train_on, validate_on, together, start, 60 * budget.minutes)
        if not together.leads:
            return
    state = torch.load(run / CHECKPOINT, map_location="cpu")
    torch.save({name: state[name] for name in ("recipe", "step", "network")}, folder / WEIGHTS)
    write_json(folder / "recipe.json", asdict(recipe) | {"steps_done": state["step"]})
    for name in (LOSSES, VALIDATION, "curves.png", "validation.json"):
        shutil.copyfile(run / name, folder / name)


def export(trained: Path, model: Path) -> None:
    """Export the weights."""
    export_network(load_network(trained / WEIGHTS), model)


def parity(built: Path, trained: Path, model: Path) -> Mapping[str, float]:
    """Compare on the staves of the first validation page."""
    first = sorted((built / pages.VALIDATION).glob("*.npz"))[0]
    candidates = Staves.of([first]).candidates
    apart = difference(load_network(trained / WEIGHTS), model, candidates)
    if apart > TOLERANCE:
        raise ValueError(f"ONNX Runtime differs from torch by {apart} on real staves.")
    return {"largest": apart, "tolerated": TOLERANCE}


def card(
    collected: Path, built: Path, trained: Path, model: Path, champion: Mapping[str, Any]
) -> dict[str, Any]:
    """Tell what the validation during training found last."""
    shares = json.loads((trained / "validation.json").read_text("utf-8"))
    return {
        "name": CONTEXT.model,
        "task": "rereading the symbols of a staff in their context",
        **pages.told(built, DATA),
        "licence": LICENCE,
        "recipe": json.loads((trained / "recipe.json").read_text("utf-8")),
        "measures": {
            "right on held-out pages, by the detector alone and after context": {
                name: [round(share, 4) for share in pair] for name, pair in shares.items()
            }
        },
    }


def profile(model: Path, card: Mapping[str, Any], record: RunRecord) -> None:
    """None: what comes in and goes out of this model is measured with `symbols`."""
