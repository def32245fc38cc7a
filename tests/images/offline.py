"""Run by the installed interpreter: all of the services' work that needs no model server."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from importlib.resources import files

import services

#: Run by Triton and by Alembic, in environments of their own.
ELSEWHERE = ("services.triton.backends", "services.runtime.migrations.env")


def modules() -> list[str]:
    """Every module of the services, imported."""
    names = [found.name for found in pkgutil.walk_packages(services.__path__, "services.")]
    names = [name for name in names if not name.startswith(ELSEWHERE) and not name.endswith("__main__")]
    for name in names:
        importlib.import_module(name)
    return names


def transcription() -> dict[str, int]:
    """Sizes of what is made of the sample recording's length in notes: everything after the model."""
    from services.amt.decode import decode
    from services.music.export import Format, export
    from services.music.notate import NotationOptions, notate
    from services.music.notes import Note

    sample = files("services.client") / "samples" / "demo.flac"
    with sample.open("rb") as source:
        recording = decode(source, max_audio_s=600)
    beats = int(recording.duration_s)
    notes = [Note(float(beat), beat + 0.9, 60 + beat % 12, 80) for beat in range(beats)]
    score = notate(notes, NotationOptions(title="A scale"))
    return {name.value: len(data) for name, data in export(notes, score, list(Format)).items()}


def main() -> None:
    """Do both, and say what came of it."""
    names = modules()
    made = transcription()
    print(json.dumps({"home": services.__path__[0], "modules": names, "files": made, "path": sys.path}))


if __name__ == "__main__":
    main()
