"""Makes the demo's recording: `python -m pipelines.performing.demo_sample`.

Schubert's "Heidenröslein" (OpenScore Lieder, CC0), the piano part alone, performed on an instrument
that is kept out of training, in a small room.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import fftconvolve

from pipelines.corpora.scores import read_notes
from pipelines.performing.expression import perform
from pipelines.performing.pianos import load_piano
from pipelines.performing.sampler import TAIL_S, draw_tuning, render
from services.amt.contract import SAMPLE_RATE_HZ

SCORE = "lieder/lc30321236.mxl"
INSTRUMENT = "timgm-grand"
#: This pianist plays in time, touches lightly, and pedals a little.
SEED = 14
LENGTH_S = 34.0
OUT = Path("services/client/samples/demo.flac")


def make_sample(scores: Path, out: Path) -> None:
    """Perform, render and write the sample: mono FLAC at 16 kHz."""
    random = np.random.default_rng(SEED)
    table = read_notes(scores / SCORE)
    piano_part = table[table[:, 3] > 0]
    performance = perform(random, piano_part, LENGTH_S)
    sound = render(random, performance, load_piano(INSTRUMENT), draw_tuning(random), LENGTH_S)
    time_s = np.arange(int(0.6 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    room = random.normal(0, 0.02, len(time_s)) * np.exp(-time_s / 0.12)
    room[0] = 1.0
    sound = fftconvolve(sound, room)[: len(sound)] + random.normal(0, 1e-4, len(sound))
    fade = np.minimum(1, np.arange(len(sound))[::-1] / (TAIL_S * SAMPLE_RATE_HZ))
    sound *= fade * 0.8 / np.abs(sound).max()
    out.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(out, sound, SAMPLE_RATE_HZ, subtype="PCM_16")
    print(f"{out}: {len(sound) / SAMPLE_RATE_HZ:.0f} s, {len(performance.notes)} notes")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, default=Path("../shared/data/scores"))
    args = parser.parse_args()
    make_sample(args.scores, OUT)


if __name__ == "__main__":
    main()
