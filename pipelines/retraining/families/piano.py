"""The `piano` model: performed scores and given recordings -> clips -> network -> ONNX."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from tqdm import tqdm

from pipelines.corpora.scores import SCORES_BESIDE, load_corpus, read_corpus, score_files
from pipelines.evaluation.thresholds import choose, score_all
from pipelines.performing.pianos import HELD_OUT, TRAINING_SHARES, at_hand
from pipelines.performing.pieces import FIRST_VALIDATION, make_piece, piece_path
from pipelines.release.export_piano import LARGEST_DIFFERENCE, Served, difference, load_network
from pipelines.release.export_piano import export as export_network
from pipelines.release.piano import DATA, ServedModel
from pipelines.release.profiles import measured
from pipelines.release.record import LICENCE
from pipelines.retraining.results import COLLECTED, RECORDINGS, RUN, SCORES, WEIGHTS
from pipelines.retraining.run import RunRecord, Start, write_json
from pipelines.training.checkpoints import CHECKPOINT
from pipelines.training.curves import LOSSES, VALIDATION
from pipelines.training.distributed import ranks
from pipelines.training.piano.clips import validation_clips
from pipelines.training.piano.recipe import Recipe
from pipelines.training.piano.released import read_network
from pipelines.training.piano.train import Trainer
from services.amt.contract import CHUNK_SAMPLES, PIANO
from services.amt.notes import DecodingThresholds
from services.runtime.disk import sha256_of

#: Share of the performed pieces that are of the given scores, where there are any: they are few, and matter.
GIVEN_SHARE: Final = 0.5
#: From so many pieces on, pianos that are not there yet are made.
_LARGE: Final = 500
#: From the champion on, training goes in small steps.
_GENTLE: Final = 1e-4
#: With fewer excerpts, thresholds would be chosen by chance: the champion's stay.
_FEWEST_TO_CHOOSE: Final = 24
_VALIDATION: Final = "validation.json"
_DATA: Final = "data.json"


def build(collected: Path, record: RunRecord, folder: Path) -> None:
    """Perform the scores: `pieces/NUMBER.npz`. Validation pieces are the cache's, made where missing."""
    budget, seed = record.budget, record.seed
    given = list(read_corpus(score_files(collected / SCORES)))
    corpus = load_corpus(SCORES_BESIDE) if budget.corpora else []
    shares = TRAINING_SHARES if budget.made >= _LARGE else at_hand(TRAINING_SHARES)
    print(f"{len(given)} given scores, {len(corpus)} of the corpora, {len(shares)} pianos", flush=True)
    (folder / "pieces").mkdir(exist_ok=True)
    # Only scores without a note worth performing were given, and recordings: they are all there is to learn.
    made = budget.made if given or corpus else 0
    for number in tqdm(range(made), desc="performing", unit="piece"):
        random = np.random.default_rng([seed, number])
        scores = given if given and (not corpus or random.random() < GIVEN_SHARE) else corpus
        make_piece(number, scores, folder / "pieces" / f"{number:07d}.npz", [seed], shares)
    files = [piece_path(FIRST_VALIDATION + number) for number in range(budget.validation)]
    for number, path in enumerate(files):
        make_piece(
            FIRST_VALIDATION + number, corpus or given, path, shares=at_hand(dict.fromkeys(HELD_OUT, 1.0))
        )
    write_json(folder / _VALIDATION, {path.name: sha256_of(path) for path in files})
    write_json(
        folder / _DATA, {"given scores": len(given), "corpora": len(corpus), "instruments": sorted(shares)}
    )


def _recipe(record: RunRecord, pitch_channels: int) -> Recipe:
    budget = record.budget
    recipe = Recipe()
    gentle = record.start is Start.CHAMPION
    return Recipe(
        seed=record.seed,
        pieces=budget.made,
        validation_pieces=budget.validation,
        pitch_channels=pitch_channels,
        frames=budget.side or recipe.frames,
        batch=budget.batch or recipe.batch,
        steps=budget.steps,
        warm_up=min(recipe.warm_up, budget.steps // 4),
        learning_rate=_GENTLE if gentle else recipe.learning_rate,
        report_every=min(recipe.report_every, max(1, budget.steps // 8)),
        validate_every=min(recipe.validate_every, max(1, budget.steps // 2)),
        validated=min(recipe.validated, max(1, budget.validation // 2)),
        frozen_norms=gentle,
    )


def train(collected: Path, built: Path, record: RunRecord, champion: Path, folder: Path) -> None:
    """Train on the performed pieces and the given recordings."""
    start = read_network(champion / "model.onnx") if record.start is Start.CHAMPION else None
    recipe = _recipe(record, start.size.pitch if start is not None else Recipe.pitch_channels)
    files = sorted([*(built / "pieces").glob("*.npz"), *(collected / RECORDINGS).glob("*.npz")])
    run = folder / RUN
    run.mkdir(exist_ok=True)
    with ranks() as together:
        trainer = Trainer(
            recipe,
            run,
            files,
            start.state_dict() if start is not None else None,
            limit_s=60 * record.budget.minutes,
            ranks=together,
        )
        trainer.run()
        if not together.leads:
            return
    state = torch.load(run / CHECKPOINT, map_location="cpu")
    kept = {name: state[name] for name in ("recipe", "step", "average")}
    torch.save(kept, folder / WEIGHTS)
    write_json(folder / "recipe.json", asdict(recipe) | {"steps_done": state["step"], "pieces": len(files)})
    for name in (LOSSES, VALIDATION, "curves.png"):
        shutil.copyfile(run / name, folder / name)


def export(trained: Path, model: Path) -> None:
    """Export the averaged weights."""
    export_network(load_network(trained / WEIGHTS), model)


def parity(built: Path, trained: Path, model: Path) -> Mapping[str, float]:
    """Compare on chunks of the validation pieces, as they are damaged for validation."""
    served = Served(load_network(trained / WEIGHTS)).eval()
    sounds = [audio for audio, _ in validation_clips(len(json.loads((built / _VALIDATION).read_text())))]
    chunks = np.stack([audio[:CHUNK_SAMPLES] for audio in sounds[:4]])
    most, share = difference(served, model, chunks)
    found = {"largest, of 255": float(most), "share of values": share, "tolerated": float(LARGEST_DIFFERENCE)}
    if most > LARGEST_DIFFERENCE:
        raise ValueError(f"ONNX Runtime differs from torch by {most} of 255 on real audio.")
    return found


def card(
    collected: Path, built: Path, trained: Path, model: Path, champion: Mapping[str, Any]
) -> dict[str, Any]:
    """Choose the thresholds on half of the validation pieces, and measure on the other half."""
    served = ServedModel(model)
    count = len(json.loads((built / _VALIDATION).read_text("utf-8")))
    heard = [
        (served.posteriors(audio), truth.astype(float)) for audio, truth in validation_clips(min(48, count))
    ]
    chooses = len(heard) // 2 >= _FEWEST_TO_CHOOSE
    thresholds = choose(heard[::2]) if chooses else DecodingThresholds.from_card(champion)
    data = json.loads((built / _DATA).read_text("utf-8"))
    given = json.loads((collected / COLLECTED).read_text("utf-8"))["files"]
    return {
        "name": PIANO.model,
        "task": "piano transcription",
        "data": _told(data, given),
        "instruments": {"training": data["instruments"], "held_out": list(HELD_OUT)},
        "hours_of_pieces": len(list((built / "pieces").glob("*.npz"))) / 60,
        "licence": LICENCE,
        "recipe": json.loads((trained / "recipe.json").read_text("utf-8")),
        "thresholds": asdict(thresholds),
        "measures": {"held-out synthetic pianos": asdict(score_all(heard[1::2] or heard, thresholds))},
    }


def _told(data: Mapping[str, Any], given: list[Mapping[str, Any]]) -> str:
    told = [DATA] if data["corpora"] else []
    if given:
        kinds = [each["kind"] for each in given]
        told.append(f"Given: {kinds.count('score')} scores, {kinds.count('recording')} recordings.")
    return " ".join(told)


def profile(model: Path, card: Mapping[str, Any], record: RunRecord) -> Mapping[str, Any]:
    """Measure on recordings of held-out pianos."""
    return measured(PIANO.model, model, card, record.budget.profiled)
