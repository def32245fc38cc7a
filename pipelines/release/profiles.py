"""Measures the reference profile of a released model: `python -m pipelines.release.profiles piano|symbols`.

Drift is how far live traffic has moved from what a model was released for. That is stated here, as traffic
made for it of held-out material: recordings of held-out pianos at all usual levels, and engraved and scanned
pages (no photographs: they are read, but a rise of their share is worth knowing of). It is measured as the
services measure live traffic, with the released model itself, and written into the model's card.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import cv2
import numpy as np
from tqdm import tqdm

from pipelines.cache import cache_folder
from pipelines.engraving.pages import EngravedPage
from pipelines.engraving.pictures import Means, take_picture
from pipelines.evaluation.omr_readers import MODEL_REPOSITORY, local_reader
from pipelines.release.piano import ServedModel
from pipelines.training.piano.clips import validation_clips
from services.amt import profile as recordings
from services.amt.contract import PIANO
from services.amt.decode import CLIPPING_LEVEL, FULL_SCALE, Recording
from services.amt.notes import DecodingThresholds, find_notes
from services.omr import profile as pages
from services.omr.assembly import assemble
from services.omr.contract import SYMBOLS
from services.omr.look import look_at
from services.omr.straighten import prepare
from services.omr.uploads import PagePicture
from services.runtime.cards import read_card
from services.runtime.profiles import Edges, Observation, reference

#: Levels of recordings, in dB of full scale: mean and standard deviation.
_LEVEL_DB: Final = (-24.0, 5.0)
_RECORDING_S: Final = 55.0
#: Shares of pictures taken by each means.
_MEANS: Final = {Means.SCAN: 0.5, Means.CLEAN: 0.5}
_SEED: Final = 11


def of_recordings(count: int) -> Iterator[Observation]:
    """Measure recordings of held-out pianos."""
    served = ServedModel(MODEL_REPOSITORY / PIANO.model / "1" / "model.onnx")
    thresholds = DecodingThresholds.from_card(read_card(MODEL_REPOSITORY, PIANO.model))
    random = np.random.default_rng(_SEED)
    for samples, _ in validation_clips(count, _RECORDING_S):
        rms = float(10 ** (random.normal(*_LEVEL_DB) / 20))
        clipped = float(np.mean(np.abs(samples.astype(int)) >= CLIPPING_LEVEL * FULL_SCALE))
        notes = find_notes(served.posteriors(samples), thresholds)
        yield recordings.measure(Recording(samples=samples, rms=rms, clipped_share=clipped), notes)


def of_pages(count: int) -> Iterator[Observation]:
    """Measure pictures of held-out pages."""
    reader = local_reader()
    stems = sorted(path.with_suffix("") for path in cache_folder("pages", "validation").glob("*.npz"))
    for number, stem in enumerate(stems[:count]):
        random = np.random.default_rng([_SEED, number])
        means = Means(random.choice(list(_MEANS), p=list(_MEANS.values())))
        image = take_picture(EngravedPage.load(stem), means, random).image
        picture = PagePicture(image, width=image.shape[1], height=image.shape[0], dpi=None)
        (page,) = assemble([reader.look(picture)]).pages
        yield pages.measure(look_at(image, picture.in_upload_px(prepare(image))), page)


_MODELS: Final[dict[str, tuple[Callable[[int], Iterator[Observation]], Edges]]] = {
    PIANO.model: (of_recordings, recordings.EDGES),
    SYMBOLS.model: (of_pages, pages.EDGES),
}


def make_profile(model: str, count: int) -> dict[str, Any]:
    """Measure a model's reference profile on so many observations, as its card is to state it."""
    measured, edges = _MODELS[model]
    return reference(tqdm(measured(count), desc=f"profile of {model}", total=count), edges)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=sorted(_MODELS))
    parser.add_argument("--count", type=int, default=300, help="observations")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    path = MODEL_REPOSITORY / args.model / "card.json"
    card = json.loads(path.read_text("utf-8"))
    card["profile"] = make_profile(args.model, args.count)
    path.write_text(json.dumps(card, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
