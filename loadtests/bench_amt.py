"""How fast is a transcription, and where does the time go? `make bench-amt` prints it.

In each round, in turn, on the same three minutes of piano: the model's file called in this process
(the floor: nothing but the model's own time, on as many threads as Triton has instances), the whole
service over HTTP, and basic-pitch's `predict` in its own process, model loaded, where installed.
Ratios are taken round by round, because these are what holds on a noisy machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile

from pipelines.evaluation.peers import basic_pitch, basic_pitch_installed
from services.amt.chunks import cut
from services.amt.contract import PIANO
from services.amt.decode import decode
from services.client import Copyist
from services.local.stack import LocalStack

SAMPLE = Path("services/client/samples/demo.flac")
MODEL = Path("model_repository/piano/1/model.onnx")
SECONDS = 180.0


def three_minutes(folder: Path) -> Path:
    """The demo's sample, repeated to three minutes, as a FLAC file."""
    sound, rate = soundfile.read(SAMPLE, dtype="int16")
    length = int(SECONDS * rate)
    repeated = np.concatenate([sound] * -(-length // len(sound)))[:length]
    path = folder / "three-minutes.flac"
    soundfile.write(path, repeated, rate)
    return path


class Floor:
    """The model's file, called directly on every chunk of a recording, on `threads` threads."""

    def __init__(self, recording: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._sessions = [
            onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
            for _ in range(threads)
        ]
        with recording.open("rb") as file:
            self._chunks = list(cut(decode(file, max_audio_s=600).samples))

    def __call__(self) -> None:
        """Run every chunk once."""

        def run(job: tuple[onnxruntime.InferenceSession, np.ndarray]) -> None:
            job[0].run(None, {PIANO.inputs[0].name: job[1][None]})

        with ThreadPoolExecutor(len(self._sessions)) as pool:
            list(pool.map(run, zip(cycle(self._sessions), self._chunks)))


def seconds_of(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def row(name: str, values: Sequence[float], unit: str) -> str:
    """One line of the table: median and range."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"  {name:42}{middle:8.2f} {unit}   ({low:.2f} to {high:.2f})"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    floor_s: list[float] = []
    bare_s: list[float] = []
    full_s: list[float] = []
    peer_s: list[float] = []
    stages: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, LocalStack(report=print) as stack:
        recording = three_minutes(Path(folder))
        floor = Floor(recording, threads=min(2, os.cpu_count() or 1))
        with Copyist(stack.http_url) as copyist:
            floor(), copyist.transcribe(recording)  # warm up
            for number in range(args.rounds):
                print(f"round {number + 1} of {args.rounds}", flush=True)
                floor_s.append(seconds_of(floor))
                bare_s.append(
                    seconds_of(lambda: stages.append(dict(copyist.transcribe(recording).timings_s)))
                )
                full_s.append(
                    seconds_of(lambda: copyist.transcribe(recording, formats=["midi", "musicxml", "pdf"]))
                )
                if basic_pitch_installed():
                    peer_s += [answer.seconds for answer in basic_pitch([recording])]

    print(f"{SECONDS:.0f} s of piano, {os.cpu_count()} cores, median of {args.rounds} rounds (range):")
    print(row("the model alone, in process", floor_s, "s"))
    print(row("over HTTP: notes, key, metre, tempo", bare_s, "s"))
    for stage in stages[0]:
        print(row(f"    of which {stage}", [timings[stage] for timings in stages], "s"))
    print(row("over HTTP, with MIDI, MusicXML and PDF", full_s, "s"))
    print(row("times real time, notes over HTTP", [SECONDS / s for s in bare_s], "x"))
    model_s = [timings["model"] for timings in stages]
    print(row("hop: model stage / model alone", [m / f for m, f in zip(model_s, floor_s, strict=True)], "x"))
    print(
        row(
            "service: notes over HTTP / model alone",
            [b / f for b, f in zip(bare_s, floor_s, strict=True)],
            "x",
        )
    )
    if peer_s:
        print(row("basic-pitch, in process", peer_s, "s"))
        print(row("notes over HTTP / basic-pitch", [b / p for b, p in zip(bare_s, peer_s, strict=True)], "x"))
        print(
            row(
                "everything over HTTP / basic-pitch",
                [f / p for f, p in zip(full_s, peer_s, strict=True)],
                "x",
            )
        )
    else:
        print("  basic-pitch is not installed (`make peer`): measured alone.")


if __name__ == "__main__":
    main()
