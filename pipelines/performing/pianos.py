"""Pianos to perform on: banks of samples, every sample aligned to its onset.

All instruments, whether recorded, played by a sound font or computed, are brought to one form, so
that one sampler plays them all with the same dampers and pedals, and so that no instrument's own
latency (FluidSynth sounds 2.5 to 12 ms late, Salamander's mp3 files lead in by 7 to 38 ms) can
shift the truth that a model is trained on.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from pipelines.cache import cache_folder
from pipelines.performing.parametric import ParametricPiano
from services.amt.contract import LOWEST_PITCH, PITCHES, SAMPLE_RATE_HZ

#: Length of every sample; a note that is held longer has long faded.
SAMPLE_S = 7.0
SAMPLE_LENGTH = int(SAMPLE_S * SAMPLE_RATE_HZ)
#: Samples of lead-in before the onset, so that no attack is cut.
LEAD_IN = 80

VELOCITIES = (18, 40, 64, 88, 114)

Source = Callable[[int], np.ndarray]
#: Of a bank, written last.
_BANK = "piano.json"


@dataclass(frozen=True)
class Piano:
    """One instrument as a bank of samples.

    Attributes:
        name: the instrument's name; part of what a model card reports.
        samples: int16 [88 pitches, layers, SAMPLE_LENGTH], each scaled to its own peak.
        peaks: float32 [88, layers], the amplitude that full scale of each sample stands for.
        velocities: the MIDI velocity at which each layer was played.
    """

    name: str
    samples: np.ndarray
    peaks: np.ndarray
    velocities: np.ndarray


def align(sound: np.ndarray) -> np.ndarray:
    """Cut `sound` (float, 16 kHz) so that its onset lies at `LEAD_IN`, and to `SAMPLE_LENGTH`.

    The onset is where the sound first exceeds a tenth of its peak of the first half second.
    """
    head = np.abs(sound[: SAMPLE_RATE_HZ // 2])
    onset = int(np.argmax(head > 0.1 * head.max())) if head.size and head.max() > 0 else 0
    start = max(0, onset - LEAD_IN)
    cut = sound[start : start + SAMPLE_LENGTH]
    lead = LEAD_IN - (onset - start)
    return np.pad(cut, (lead, SAMPLE_LENGTH))[:SAMPLE_LENGTH].astype(np.float32)


def _store(name: str, layer_of: Callable[[int], list[np.ndarray]]) -> None:
    """Write the bank `name`; `layer_of(velocity)` gives its 88 sounds from the lowest pitch up."""
    folder = cache_folder("pianos", name)
    samples = np.zeros((PITCHES, len(VELOCITIES), SAMPLE_LENGTH), np.int16)
    peaks = np.zeros((PITCHES, len(VELOCITIES)), np.float32)
    for layer, velocity in enumerate(VELOCITIES):
        for pitch, sound in enumerate(layer_of(velocity)):
            aligned = align(sound)
            peak = float(np.abs(aligned).max()) or 1.0
            samples[pitch, layer] = np.round(aligned / peak * 32767)
            peaks[pitch, layer] = peak
    # One loudness for all instruments: middle C, mezzo forte, peaks at a fixed level.
    peaks *= 0.2 / peaks[60 - LOWEST_PITCH, 2]
    np.save(folder / "samples.npy", samples)
    np.save(folder / "peaks.npy", peaks)
    (folder / _BANK).write_text(json.dumps({"name": name, "velocities": VELOCITIES}))


def load_piano(name: str) -> Piano:
    """The bank `name`, its samples mapped from disk; made first if the cache does not hold it.

    Raises:
        KeyError: there is no such instrument.
    """
    folder = cache_folder("pianos", name)
    if not (folder / _BANK).exists():
        _store(name, INSTRUMENTS[name])
    return Piano(
        name=name,
        samples=np.load(folder / "samples.npy", mmap_mode="r"),
        peaks=np.load(folder / "peaks.npy"),
        velocities=np.array(VELOCITIES, np.float32),
    )


def _sound_font(path: str, program: int) -> Callable[[int], list[np.ndarray]]:
    """The sounds of one program of a sound font, played by FluidSynth without its effects."""

    def layer(velocity: int) -> list[np.ndarray]:
        slot_s = SAMPLE_S + 0.6
        track = mido.MidiTrack([mido.Message("program_change", program=program)])
        for pitch in range(LOWEST_PITCH, LOWEST_PITCH + PITCHES):
            track.append(mido.Message("note_on", note=pitch, velocity=velocity))
            track.append(mido.Message("note_off", note=pitch, time=int(SAMPLE_S * 1000)))
            track.append(mido.Message("note_on", note=0, velocity=0, time=600))
        midi = mido.MidiFile(ticks_per_beat=500)  # at 120 beats a minute: a tick is 1 ms
        midi.tracks.append(track)
        with tempfile.TemporaryDirectory() as folder:
            score, audio = Path(folder, "bank.mid"), Path(folder, "bank.wav")
            midi.save(score)
            effects = ["-R", "0", "-C", "0", "-g", "0.5", "-o", "synth.dynamic-sample-loading=1"]
            command = ["fluidsynth", "-niq", *effects, "-r", "48000", "-F", str(audio), path]
            subprocess.run([*command, str(score)], check=True, capture_output=True)
            sound, rate = soundfile.read(audio, dtype="float32")
        mono = soxr.resample(sound.mean(axis=1), rate, SAMPLE_RATE_HZ)
        slot = int(slot_s * SAMPLE_RATE_HZ)
        return [mono[k * slot : (k + 1) * slot] for k in range(PITCHES)]

    return layer


#: Layer of the Salamander Grand (1 softest, 16 loudest) that stands for each of `VELOCITIES`.
SALAMANDER_LAYERS = {18: 3, 40: 5, 64: 9, 88: 11, 114: 15}
SALAMANDER_STEPS = {"C": 0, "D#": 3, "F#": 6, "A": 9}


def _salamander(velocity: int) -> list[np.ndarray]:
    """The Salamander Grand, from the npm packages `@audio-samples/piano-mp3-velocityN`.

    It was sampled every minor third; the keys between are resampled from their neighbours.
    """
    recorded = {}
    folder = _npm_package(f"@audio-samples/piano-mp3-velocity{SALAMANDER_LAYERS[velocity]}")
    for file in sorted((folder / "audio").glob("*.mp3")):
        key = file.stem.split("v")[0]
        pitch = 12 * (int(key[-1]) + 1) + SALAMANDER_STEPS[key[:-1]]
        recorded[pitch] = soundfile.read(file, dtype="float32")
    sounds = []
    for pitch in range(LOWEST_PITCH, LOWEST_PITCH + PITCHES):
        nearest = min(recorded, key=lambda candidate: abs(candidate - pitch))
        sound, rate = recorded[nearest]
        mono = sound.mean(axis=1) if sound.ndim > 1 else sound
        shift = 2 ** ((pitch - nearest) / 12)
        sounds.append(soxr.resample(mono[: 12 * rate], rate * shift, SAMPLE_RATE_HZ))
    return sounds


def _npm_package(name: str) -> Path:
    """The unpacked npm package `name`, fetched once into the cache."""
    folder = cache_folder("npm", name.replace("/", "-"))
    if not (folder / "package").exists():
        packed = subprocess.run(
            ["npm", "pack", "--silent", name], cwd=folder, check=True, capture_output=True, text=True
        ).stdout.strip()
        subprocess.run(["tar", "-xzf", packed], cwd=folder, check=True)
        (folder / packed).unlink()
    return folder / "package"


def _parametric(seed: int) -> Callable[[int], list[np.ndarray]]:
    """A computed piano: no two seeds sound alike."""

    def layer(velocity: int) -> list[np.ndarray]:
        piano = ParametricPiano(seed)
        pitches = range(LOWEST_PITCH, LOWEST_PITCH + PITCHES)
        return [piano.strike(pitch, velocity, SAMPLE_S) for pitch in pitches]

    return layer


_FLUID = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
_TIMGM = "/usr/share/sounds/sf2/TimGM6mb.sf2"
_CSOUND = "/usr/share/sounds/sf2/sf_GMbank.sf2"
_MUSESCORE = "/usr/share/sounds/sf3/MuseScore_General_Full.sf3"

INSTRUMENTS: dict[str, Callable[[int], list[np.ndarray]]] = {
    "salamander": _salamander,
    "fluid-grand": _sound_font(_FLUID, 0),
    "fluid-bright": _sound_font(_FLUID, 1),
    "fluid-electric-grand": _sound_font(_FLUID, 2),
    "musescore-grand": _sound_font(_MUSESCORE, 0),
    "musescore-bright": _sound_font(_MUSESCORE, 1),
    "csound-grand": _sound_font(_CSOUND, 0),
    "timgm-grand": _sound_font(_TIMGM, 0),
    **{f"parametric-{seed}": _parametric(seed) for seed in range(12)},
}

#: Never trained on: validation, thresholds and the demo's sample are played on these.
HELD_OUT = ("timgm-grand", "parametric-11")
#: How often each instrument plays in the training data, relative to the others.
TRAINING_SHARES: dict[str, float] = {
    "salamander": 5.0,
    "musescore-grand": 3.0,
    "musescore-bright": 1.5,
    "fluid-grand": 3.0,
    "fluid-bright": 1.5,
    "fluid-electric-grand": 0.5,
    "csound-grand": 1.0,
    **{f"parametric-{seed}": 0.5 for seed in range(11)},
}


def at_hand(shares: Mapping[str, float]) -> dict[str, float]:
    """Those of some instruments whose banks are made already; where none is, those that are computed.

    Making all banks takes an hour and downloads; a small run does with what there is.
    """
    made = {name: share for name, share in shares.items() if (cache_folder("pianos", name) / _BANK).exists()}
    return made or {name: share for name, share in shares.items() if name.startswith("parametric")}


def make_all() -> None:
    """Make every bank that the cache does not hold yet."""
    for name in tqdm(INSTRUMENTS, desc="making pianos", unit="piano"):
        load_piano(name)


if __name__ == "__main__":
    make_all()
