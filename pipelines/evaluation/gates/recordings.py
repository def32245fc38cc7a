"""Excerpts of recordings with the truth of their notes: what the `piano` model is judged on.

Held-out pieces were made for validation, on pianos that training never hears; each is damaged as recordings
are, always in the same way. Where the cache holds too few of them, the excerpts that lie beside this file are
taken. Real recordings are looked at where they are there, and never for anything but judging.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipelines.evaluation.gates.fixed_sets import FEWEST_HELD_OUT, FixedSet, Piece, chosen, digest_of
from pipelines.evaluation.piano import RECORDINGS, read_truth
from pipelines.evaluation.piano import recordings as real_recordings
from pipelines.performing.damage import damage
from pipelines.training.piano.clips import pieces as rendered_pieces
from services.amt.contract import SAMPLE_RATE_HZ, TARGET_RMS
from services.amt.decode import decode

SAMPLES: Final = Path(__file__).parent / "samples" / "recordings"
#: One chunk's core holds as much; the chunks' seams are the gate `split`'s.
EXCERPT_S: Final = 10.2
_START_S: Final = 10.0
_RUN_UP_S: Final = 1.0
#: Notes that begin later than this before the excerpt's end are not asked for.
_LAST_ONSET_S: Final = 0.1
_REAL_S: Final = 40.0
_FULL_SCALE: Final = 32_767

#: Upper ends of all but the last value of each slice.
_LOUDNESS: Final = {"soft": 55.0, "medium": 75.0}  # mean velocity
_POLYPHONY: Final = {"thin": 3.0, "medium": 6.0}  # notes that sound at a time
_PACE: Final = {"slow": 10.0, "medium": 20.0}  # notes a second


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What is heard, and what is true of it.

    Attributes:
        audio: int16 [samples], as the service hands it to the model.
        notes: float [notes, 4]: onset s, offset s, MIDI pitch, velocity; ends cut at the excerpt's.
    """

    audio: NDArray[np.int16]
    notes: NDArray[np.float64]


def fixed_sets(limit: int | None) -> tuple[list[FixedSet[Excerpt]], list[str]]:
    """The test sets that this machine has, and a sentence for each that is left out."""
    sets, skipped = [], []
    held_out = rendered_pieces(validation=True)
    if len(held_out) >= FEWEST_HELD_OUT:
        sets.append(_set("held-out", [held_out_excerpt(path) for path in chosen(held_out, limit)]))
    else:
        skipped.append(f"held-out: the cache holds {len(held_out)} of at least {FEWEST_HELD_OUT} pieces.")
        sets.append(_set("small", [read_excerpt(path) for path in chosen(_samples(), limit)]))
    real = real_recordings(RECORDINGS)
    if real and limit is None:
        sets.append(_set("real recordings", list(_real(real))))
    else:
        why = "a limit was set" if real else f"there are none in {RECORDINGS}"
        skipped.append(f"real recordings: {why}.")
    return sets, skipped


def held_out_excerpt(path: Path) -> Piece[Excerpt]:
    """The excerpt of a rendered piece, damaged; decided by the piece alone."""
    random = np.random.default_rng([77, int(path.stem)])
    with np.load(path) as piece:
        audio, notes, piano = piece["audio"], piece["notes"].astype(np.float64), str(piece["piano"])
    start, length = int(_START_S * SAMPLE_RATE_HZ), int(EXCERPT_S * SAMPLE_RATE_HZ)
    run_up = int(_RUN_UP_S * SAMPLE_RATE_HZ)
    stretch = audio[start - run_up : start + length].astype(np.float32) / 32768
    sound = damage(random, stretch)[run_up:]
    sound = sound * TARGET_RMS / (np.sqrt(np.mean(sound**2)) + 1e-6)
    heard = np.round(np.clip(sound, -1, 1) * _FULL_SCALE).astype(np.int16)
    return _piece(path.stem, piano, heard, _within(notes, _START_S, EXCERPT_S))


def read_excerpt(path: Path) -> Piece[Excerpt]:
    """An excerpt that lies beside this file: `NAME-PIANO.flac` with `NAME-PIANO.tsv`."""
    audio, _ = soundfile.read(path, dtype="int16")
    name, piano = path.stem.split("-", 1)
    return _piece(name, piano, audio, read_truth(path.with_suffix(".tsv")))


def _samples() -> list[Path]:
    return sorted(SAMPLES.glob("*.flac"))


def _real(files: list[Path]) -> Iterator[Piece[Excerpt]]:
    for path in files:
        with path.open("rb") as file:
            audio = decode(file, max_audio_s=7200).samples[: int(_REAL_S * SAMPLE_RATE_HZ)]
        notes = _within(read_truth(path.with_suffix(".tsv")), 0.0, _REAL_S)
        yield _piece(path.stem, path.stem.rsplit("_", 1)[-1], audio, notes)


def _within(notes: NDArray[np.float64], start_s: float, length_s: float) -> NDArray[np.float64]:
    kept = notes[(notes[:, 0] >= start_s) & (notes[:, 0] < start_s + length_s - _LAST_ONSET_S)].copy()
    kept[:, :2] -= start_s
    kept[:, 1] = kept[:, 1].clip(max=length_s)
    return kept


def _piece(name: str, piano: str, audio: NDArray[np.int16], notes: NDArray[np.float64]) -> Piece[Excerpt]:
    seconds = len(audio) / SAMPLE_RATE_HZ
    slices = {
        "instrument": piano,
        "loudness": _value(_LOUDNESS, "loud", float(notes[:, 3].mean()) if len(notes) else 0.0),
        "polyphony": _value(_POLYPHONY, "thick", float((notes[:, 1] - notes[:, 0]).sum()) / seconds),
        "pace": _value(_PACE, "fast", len(notes) / seconds),
    }
    return Piece(name, slices, Excerpt(audio, notes))


def _value(ends: dict[str, float], last: str, value: float) -> str:
    return next((name for name, end in ends.items() if value < end), last)


def _set(name: str, pieces: list[Piece[Excerpt]]) -> FixedSet[Excerpt]:
    parts = (part for each in pieces for part in (each.name, each.content.audio, each.content.notes))
    return FixedSet(name, digest_of(parts), tuple(pieces))
