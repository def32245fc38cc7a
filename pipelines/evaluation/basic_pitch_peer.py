"""Runs basic-pitch, the common open transcriber, for comparison; needs an environment of its own.

`.venv-peer/bin/python -m pipelines.evaluation.basic_pitch_peer FILE...` prints one JSON object a
file: its name, its notes (rows of onset s, offset s, MIDI pitch, velocity), and the seconds that
`predict` took in this process, its model loaded and warmed up before.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from pathlib import Path

import basic_pitch
from basic_pitch.inference import Model, predict


def main() -> None:
    """Transcribe the files of the command line."""
    model = Model(Path(basic_pitch.__file__).parent / "saved_models/icassp_2022/nmp.onnx")
    files = sys.argv[1:]
    for number, file in enumerate([files[0], *files]):
        began = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            _, midi, _ = predict(file, model)
        seconds = time.perf_counter() - began
        if number == 0:  # the first call compiles
            continue
        notes = [
            tuple(map(float, (n.start, n.end, n.pitch, n.velocity)))
            for part in midi.instruments
            for n in part.notes
        ]
        print(json.dumps({"file": file, "seconds": seconds, "notes": sorted(notes)}), flush=True)


if __name__ == "__main__":
    main()
