"""What `symbols` and `context` learn from alike: engraved pages of the given scores and of the corpora."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from pipelines.cache import cache_folder
from pipelines.corpora.scores import SCORES_BESIDE, score_files
from pipelines.engraving.arrangements import corpus_files
from pipelines.engraving.make import RANDOM_SHARE, is_for_validation, make_pages
from pipelines.retraining.errors import NoTrainingDataError
from pipelines.retraining.results import SCORES
from pipelines.retraining.run import RunRecord, write_json

TRAIN: Final = "train"
VALIDATION: Final = "validation"
#: Of the built data: what it was made of.
DATA: Final = "data.json"


def make(collected: Path, record: RunRecord, folder: Path) -> None:
    """Engrave `train` and `validation`; where the cache holds enough pages for the latter, they are copied.

    Given scores are taken as often as all those of the corpora together, as they are few, and matter.
    """
    budget = record.budget
    given = score_files(collected / SCORES)
    corpus = (
        [path for path in corpus_files(SCORES_BESIDE) if not is_for_validation(path)]
        if budget.corpora
        else []
    )
    files = corpus + given * (max(1, len(corpus) // len(given)) if given else 0)
    if not files:
        raise NoTrainingDataError(
            "There is no score to engrave.", remedy="Give a folder of MusicXML with --data."
        )
    print(f"{len(given)} given scores, {len(corpus)} of the corpora", flush=True)
    for part in (TRAIN, VALIDATION):
        (folder / part).mkdir(exist_ok=True)
    _validation(folder / VALIDATION, budget.validation, files)
    make_pages(folder / TRAIN, files, RANDOM_SHARE if budget.corpora else 0.0, budget.made, record.seed)
    write_json(folder / DATA, {"given scores": len(given), "corpora": len(corpus), "pages": budget.made})


def told(built: Path, corpora: str) -> dict[str, Any]:
    """Tell, as a card does, what was learnt from.

    Args:
        built: what `make` made.
        corpora: what the corpora are, in words.
    """
    data = json.loads((built / DATA).read_text("utf-8"))
    said = [corpora] if data["corpora"] else []
    if data["given scores"]:
        said.append(f"Given: {data['given scores']} scores, engraved and damaged alike.")
    return {"data": " ".join(said), "pages": data["pages"]}


def _validation(folder: Path, count: int, files: list[Path]) -> None:
    kept = sorted(cache_folder("pages", VALIDATION).glob("*.npz"))
    if len(kept) < count:
        others = [path for path in corpus_files(SCORES_BESIDE) if is_for_validation(path)]
        make_pages(folder, others or files, 0.0, count, seed=1)
        return
    for page in kept[:count]:
        for part in (page.with_suffix(".png"), page):
            if not (folder / part.name).exists():
                shutil.copyfile(part, folder / part.name)
