"""Collects what a run learns from: scores and recordings of the given folders, each by its digest.

Makes `collected.json` (each file's origin and digest), `scores/`, `recordings/` (pieces as
`pipelines.performing.pieces` makes them; for piano alone).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.corpora.recordings import pairs, read_pieces
from pipelines.corpora.scores import score_files
from pipelines.retraining.errors import NoTrainingDataError
from pipelines.retraining.results import COLLECTED, RECORDINGS, SCORES
from pipelines.retraining.run import write_json
from pipelines.retraining.step import Workplace, main
from services.errors import CopyistError
from services.runtime.disk import sha256_of


def run(work: Workplace) -> None:
    """Collect.

    Raises:
        NoTrainingDataError: a given folder holds nothing, or there is nothing at all.
    """
    found: list[dict[str, Any]] = []
    for part in (SCORES, RECORDINGS):
        shutil.rmtree(work.folder / part, ignore_errors=True)
        (work.folder / part).mkdir(parents=True)
    for folder in map(Path, work.record.data):
        scores = _scores(folder, work.folder / SCORES)
        recordings = _recordings(folder, work.folder / RECORDINGS) if work.record.model == "piano" else []
        if not scores and not recordings:
            raise NoTrainingDataError(
                f"{folder} holds nothing to learn {work.record.model} from.",
                remedy="It may hold MusicXML scores (.musicxml, .mxl, .xml); for piano, too, sound files with"
                " MIDI files of the same names beside them.",
            )
        print(f"{folder}: {len(scores)} scores, {len(recordings)} recordings", flush=True)
        found += [*scores, *recordings]
    if not found and not work.record.budget.corpora:
        raise NoTrainingDataError(
            "Neither folders nor the corpora are to be learnt from.",
            remedy="Give a folder with --data.",
        )
    found.sort(key=lambda each: (each["sha256"], each["kind"]))
    write_json(work.folder / COLLECTED, {"files": found, "corpora": work.record.budget.corpora})


def _scores(folder: Path, to: Path) -> list[dict[str, Any]]:
    found = []
    for path in score_files(folder):
        digest = sha256_of(path)
        shutil.copyfile(path, to / f"{digest}{path.suffix}")
        found.append({"kind": "score", "name": str(path.relative_to(folder)), "sha256": digest})
    return found


def _recordings(folder: Path, to: Path) -> list[dict[str, Any]]:
    found = []
    for sound, midi in pairs(folder):
        digest = sha256_of(sound)
        name = str(sound.relative_to(folder))
        try:
            made = list(read_pieces(sound, midi))
        except CopyistError as error:
            print(f"passed over {name}: {error}", flush=True)
            continue
        for number, (audio, notes) in enumerate(made):
            np.savez(to / f"{digest[:32]}-{number:03d}.npz", audio=audio, notes=notes, piano="given")
        said = {"kind": "recording", "name": name, "sha256": digest, "notes": sha256_of(midi)}
        found.append(said | {"pieces": len(made)})
    return found


if __name__ == "__main__":
    main("collect", run)
