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
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipelines.cache import cache_folder
from pipelines.engraving.pages import EngravedPage
from pipelines.engraving.pictures import Means, take_picture
from pipelines.evaluation.omr_readers import MODEL_REPOSITORY, local_reader
from pipelines.release.piano import ServedModel
from pipelines.training.piano.clips import validation_clips
from services.amt import profile as recording_profile
from services.amt.contract import PIANO
from services.amt.decode import CLIPPING_LEVEL, FULL_SCALE, Recording
from services.amt.notes import DecodingThresholds, find_notes
from services.omr import profile as page_profile
from services.omr.assembly import assemble
from services.omr.contract import SYMBOLS
from services.omr.look import look_at
from services.omr.straighten import prepare
from services.omr.uploads import PagePicture
from services.runtime.cards import read_card
from services.runtime.profiles import Edges, Observation, reference

#: How many recordings and pages a reference is made of: the first of the held-out pieces and pages.
REFERENCE_RECORDINGS: Final = 200
REFERENCE_PAGES: Final = 320
#: Levels of recordings, in dB of full scale: mean and standard deviation.
_LEVEL_DB: Final = (-24.0, 5.0)
_RECORDING_S: Final = 55.0
#: Shares of pictures taken by each means.
_MEANS: Final = {Means.SCAN: 0.5, Means.CLEAN: 0.5}
_SEED: Final = 11


def recordings(first: int, count: int, seconds: float) -> Iterator[Recording]:
    """Make recordings of held-out pianos, from the piece of that index on."""
    for number, (samples, _) in enumerate(validation_clips(first + count, seconds)):
        if number >= first:
            random = np.random.default_rng([_SEED, number])
            rms = float(10 ** (random.normal(*_LEVEL_DB) / 20))
            clipped = float(np.mean(np.abs(samples.astype(int)) >= CLIPPING_LEVEL * FULL_SCALE))
            yield Recording(samples=samples, rms=rms, clipped_share=clipped)


def pictures(first: int, count: int) -> Iterator[NDArray[np.uint8]]:
    """Make pictures of held-out pages, from the page of that index on."""
    stems = sorted(path.with_suffix("") for path in cache_folder("pages", "validation").glob("*.npz"))
    for number, stem in enumerate(stems[first : first + count], first):
        random = np.random.default_rng([_SEED, number])
        means = Means(random.choice(list(_MEANS), p=list(_MEANS.values())))
        yield take_picture(EngravedPage.load(stem), means, random).image


def of_recordings() -> Iterator[Observation]:
    """Measure the reference recordings."""
    served = ServedModel(MODEL_REPOSITORY / PIANO.model / "1" / "model.onnx")
    thresholds = DecodingThresholds.from_card(read_card(MODEL_REPOSITORY, PIANO.model))
    for recording in recordings(0, REFERENCE_RECORDINGS, _RECORDING_S):
        notes = find_notes(served.posteriors(recording.samples), thresholds)
        yield recording_profile.measure(recording, notes)


def of_pages() -> Iterator[Observation]:
    """Measure the reference pages."""
    reader = local_reader()
    for image in pictures(0, REFERENCE_PAGES):
        picture = PagePicture(image, width=image.shape[1], height=image.shape[0], dpi=None)
        (page,) = assemble([reader.look(picture)]).pages
        yield page_profile.measure(look_at(image, picture.in_upload_px(prepare(image))), page)


_MODELS: Final[dict[str, tuple[Callable[[], Iterator[Observation]], Edges]]] = {
    PIANO.model: (of_recordings, recording_profile.EDGES),
    SYMBOLS.model: (of_pages, page_profile.EDGES),
}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=sorted(_MODELS))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    measured, edges = _MODELS[args.model]
    path = MODEL_REPOSITORY / args.model / "card.json"
    profile = reference(tqdm(measured(), desc=f"profile of {args.model}"), edges)
    # Read only now: measuring takes long.
    card = {**json.loads(path.read_text("utf-8")), "profile": profile}
    path.write_text(json.dumps(card, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
