"""Folders of scores (and music21's corpus) as plain note tables, ready to be performed.

A note table is a float32 array [notes, 4]: onset s and offset s at the score's own tempo, MIDI
pitch, and the number of the part it belongs to. Verovio does the reading, so every format it reads
will do, repeats unfolded and ties joined.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pretty_midi
import verovio
from music21 import corpus
from tqdm import tqdm

from pipelines.cache import cache_folder

#: Composers of music21's corpus that hold none of the works kept out of training (see
#: `exclude_from_training.txt` beside the scores) or, like Mozart and Schumann, only under names
#: that `EXCLUDED_NAMES` catches.
MUSIC21_FOLDERS = (
    "bach", "beethoven", "haydn", "mozart", "schumann_clara", "schumann_robert", "corelli",
    "handel", "monteverdi", "weber", "cpebach", "beach", "verdi", "schubert",
)  # fmt: skip

#: Parts of file paths that mark a piano sonata, a rag or another work kept out of training.
EXCLUDED_NAMES = ("k545", "joplin", "chopin", "scarlatti", "sonata", "leadsheet", "rntxt")

FEWEST_NOTES = 40

VEROVIO_DATA = Path(verovio.__file__).parent / "data"

#: Where the scores of the shipped versions lie, beside the repository; music21's corpus is used without them.
SCORES_BESIDE = Path(__file__).parents[3] / "shared" / "data" / "scores"


def score_files(folder: Path) -> list[Path]:
    """Every MusicXML file below `folder`, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.suffix in {".mxl", ".musicxml", ".xml"})


def music21_files() -> list[Path]:
    """The files of music21's corpus that may be trained on, in a fixed order."""
    chosen = []
    for path in map(Path, corpus.getCorePaths()):
        inside = str(path).split("corpus", 1)[-1].lower()
        named = any(f"/{folder}/" in inside for folder in MUSIC21_FOLDERS)
        if named and not any(name in inside for name in EXCLUDED_NAMES):
            chosen.append(path)
    return sorted(chosen)


def read_notes(path: Path) -> np.ndarray:
    """The note table of one score file; empty when Verovio cannot read it."""
    toolkit = verovio.toolkit(False)
    # By default Verovio knows its fonts in the thread alone that imported it.
    toolkit.setResourcePath(str(VEROVIO_DATA))
    toolkit.setOptions({"breaks": "none", "header": "none", "footer": "none"})
    if not toolkit.loadFile(str(path)):
        return np.zeros((0, 4), np.float32)
    with warnings.catch_warnings():
        # Verovio writes tempo changes into later tracks too; pretty_midi warns of every one.
        warnings.simplefilter("ignore", RuntimeWarning)
        midi = pretty_midi.PrettyMIDI(io.BytesIO(base64.b64decode(toolkit.renderToMIDI())))
    rows = [
        (note.start, note.end, note.pitch, part)
        for part, instrument in enumerate(midi.instruments)
        if not instrument.is_drum
        for note in instrument.notes
        if note.end > note.start
    ]
    return np.array(sorted(rows), np.float32).reshape(-1, 4)


def read_corpus(files: Iterable[Path]) -> Iterator[np.ndarray]:
    """The note tables of all readable files with enough notes to be worth performing."""
    verovio.enableLog(verovio.LOG_OFF)
    for path in tqdm(list(files), desc="reading scores", unit="score"):
        try:
            notes = read_notes(path)
        except (OSError, ValueError, IndexError, EOFError):
            continue
        if len(notes) >= FEWEST_NOTES:
            yield notes


def load_corpus(folder: Path) -> list[np.ndarray]:
    """All note tables of `folder` and of music21's corpus, read once and then kept in the cache.

    Args:
        folder: the folder of training scores, such as `../shared/data/scores`.
    """
    stored = cache_folder("corpora") / "scores.npz"
    if not stored.exists():
        tables = list(read_corpus([*score_files(folder), *music21_files()]))
        starts = np.cumsum([0, *map(len, tables)])
        partial = stored.with_suffix(".partial.npz")
        np.savez_compressed(partial, notes=np.concatenate(tables), starts=starts)
        partial.rename(stored)
    with np.load(stored) as archive:
        return np.split(archive["notes"], archive["starts"][1:-1])
