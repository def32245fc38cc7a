"""Measures the reference profile of a released model: `python -m pipelines.release.profiles piano|symbols`.

Drift is how far live traffic has moved from what a model was released for. That is stated here, as traffic
made for it of held-out material: recordings of held-out pianos at all usual levels, and engraved and scanned
pages (no photographs: they are read, but a rise of their share is worth knowing of). It is measured as the
services measure live traffic, with the released model itself, and written into the model's card.
"""

from __future__ import annotations

import argparse
import io
import json
import wave
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipelines.cache import cache_folder
from pipelines.engraving.pages import EngravedPage
from pipelines.engraving.pictures import ordinary_means, take_picture
from pipelines.evaluation.omr_readers import MODEL_REPOSITORY, LocalReader, RememberedModel
from pipelines.release.piano import ServedModel
from pipelines.release.served import ContextModel, SymbolsModel
from pipelines.training.piano.clips import validation_clips
from services.amt import profile as recording_profile
from services.amt.contract import PIANO, SAMPLE_RATE_HZ
from services.amt.decode import FULL_SCALE, Recording, decode
from services.amt.notes import DecodingThresholds, find_notes
from services.omr import profile as page_profile
from services.omr.assembly import assemble
from services.omr.contract import SYMBOLS
from services.omr.look import look_at
from services.omr.straighten import prepare
from services.omr.symbols import least_scores
from services.omr.uploads import PagePicture
from services.runtime.cards import read_card
from services.runtime.profiles import Edges, Observation, reference

#: How many recordings and pages a reference is made of: the first of the held-out pieces and pages.
REFERENCE_RECORDINGS: Final = 200
REFERENCE_PAGES: Final = 320
#: Levels of recordings, in dB of full scale: mean and standard deviation.
_LEVEL_DB: Final = (-24.0, 5.0)
_PEAK: Final = 0.98
#: Recordings are so long, in seconds, each length as likely on a logarithmic scale.
_LENGTHS_S: Final = (8.0, 55.0)
_SEED: Final = 11


def sounds(
    first: int, count: int, lengths_s: tuple[float, float] = _LENGTHS_S
) -> Iterator[NDArray[np.float32]]:
    """Make sounds of held-out pianos, mono at SAMPLE_RATE_HZ, from the piece of that index on."""
    for number, (excerpt, _) in enumerate(validation_clips(first + count, lengths_s[1])):
        if number >= first:
            random = np.random.default_rng([_SEED, number])
            seconds = float(np.exp(random.uniform(*np.log(lengths_s))))
            sound = excerpt[: int(seconds * SAMPLE_RATE_HZ)].astype(np.float32)
            level = 10 ** (random.normal(*_LEVEL_DB) / 20) / (np.sqrt(np.mean(sound**2)) + 1e-6)
            # Who records takes care that nothing clips.
            yield sound * min(level, _PEAK / (np.abs(sound).max() + 1e-6))


def decoded(sound: NDArray[np.float32]) -> Recording:
    """Decode a sound as if it had come as a file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(SAMPLE_RATE_HZ)
        written.writeframes(np.round(sound * FULL_SCALE).astype("<i2").tobytes())
    file.seek(0)
    return decode(file, max_audio_s=sound.size / SAMPLE_RATE_HZ + 1)


def page_stems() -> list[Path]:
    """The held-out pages, each without its endings."""
    return sorted(path.with_suffix("") for path in cache_folder("pages", "validation").glob("*.npz"))


def pictures(first: int, count: int) -> Iterator[NDArray[np.uint8]]:
    """Make pictures of held-out pages, from the page of that index on."""
    for number, stem in enumerate(page_stems()[first : first + count], first):
        random = np.random.default_rng([_SEED, number])
        yield take_picture(EngravedPage.load(stem), ordinary_means(random), random).image


def of_recordings(model: Path, card: Mapping[str, Any], count: int) -> Iterator[Observation]:
    """Measure the reference recordings, as heard by a `piano` model with its card's thresholds."""
    served = ServedModel(model)
    thresholds = DecodingThresholds.from_card(card)
    for recording in map(decoded, sounds(0, count)):
        notes = find_notes(served.posteriors(recording.samples), thresholds)
        yield recording_profile.measure(recording, notes)


def of_pages(model: Path, card: Mapping[str, Any], count: int) -> Iterator[Observation]:
    """Measure the reference pages, as read by a `symbols` model and the released `context` model."""
    symbols = RememberedModel(SymbolsModel.opened(model), model)
    reader = LocalReader(symbols, least_scores(card), ContextModel.released())
    for image in pictures(0, count):
        picture = PagePicture(image, width=image.shape[1], height=image.shape[0], dpi=None)
        (page,) = assemble([reader.look(picture)]).pages
        yield page_profile.measure(look_at(image, picture.in_upload_px(prepare(image))), page)


_Measured = Callable[[Path, Mapping[str, Any], int], Iterator[Observation]]
_MODELS: Final[dict[str, tuple[_Measured, Edges, int]]] = {
    PIANO.model: (of_recordings, recording_profile.EDGES, REFERENCE_RECORDINGS),
    SYMBOLS.model: (of_pages, page_profile.EDGES, REFERENCE_PAGES),
}


def measured(name: str, model: Path, card: Mapping[str, Any], count: int = 0) -> dict[str, Any]:
    """Measure a model's reference profile: what its card's `profile` is to be.

    Args:
        name: `piano` or `symbols`.
        model: its `model.onnx`.
        card: with the thresholds that it is to be served with.
        count: of how many recordings or pages; 0 for as many as a released version is measured on.
    """
    observations, edges, usual = _MODELS[name]
    return reference(tqdm(observations(model, card, count or usual), desc=f"profile of {name}"), edges)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=sorted(_MODELS))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    path = MODEL_REPOSITORY / args.model / "card.json"
    profile = measured(args.model, path.parent / "1" / "model.onnx", read_card(MODEL_REPOSITORY, args.model))
    # Read only now: measuring takes long.
    card = {**json.loads(path.read_text("utf-8")), "profile": profile}
    path.write_text(json.dumps(card, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
