"""From a note table to a performance: what a pianist adds to the written notes.

Tempo that bends, chords that spread, touch that varies, melody above accompaniment, crescendos,
and the right pedal, which is why a note may sound long after its key was released.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.amt.contract import LOWEST_PITCH, PITCHES

HIGHEST_PITCH = LOWEST_PITCH + PITCHES - 1
SHORTEST_NOTE_S = 0.035
SHORTEST_REPETITION_S = 0.045
#: A pedal deeper than this holds notes (MIDI's 64 of 127); a shallower one only slows their end.
HOLDING_DEPTH = 0.5


@dataclass(frozen=True)
class Performance:
    """What was played, in seconds.

    Attributes:
        notes: float32 [notes, 5], by onset: onset, release of the key, offset (the damper falls:
            the release, or the end of the pedal that held the note), MIDI pitch, velocity.
        pedals: float32 [presses, 3]: the right pedal down, up, and how deep, 0 to 1. A pedal deeper
            than half holds notes, as MIDI has it; a shallower one only lets them die more slowly.
    """

    notes: np.ndarray
    pedals: np.ndarray


def excerpt(random: np.random.Generator, corpus: list[np.ndarray], length_s: float) -> np.ndarray:
    """A stretch of a random score, retimed, transposed, at times thickened or broken into figures."""
    while True:
        table = corpus[int(random.integers(len(corpus)))]
        stretch = float(np.exp(random.uniform(np.log(0.5), np.log(1.5))))
        table = table * np.array([stretch, stretch, 1, 1], np.float32)
        start = random.uniform(0, max(0.01, float(table[:, 1].max()) - length_s))
        table = table[(table[:, 0] >= start) & (table[:, 0] < start + length_s)]
        if len(table) < 30:
            continue
        table[:, :2] -= start
        table[:, 2] += random.integers(-6, 7) + (random.choice([-12, 12]) if random.random() < 0.25 else 0)
        if random.random() < 0.4:
            table = _thicken(random, table)
        if random.random() < 0.35:
            table = _figurate(random, table)
        return table


def _thicken(random: np.random.Generator, table: np.ndarray) -> np.ndarray:
    """Octaves below low notes and above high ones."""
    low = table[(table[:, 2] < 60) & (random.random(len(table)) < 0.6)] - [0, 0, 12, 0]
    high = table[(table[:, 2] > 64) & (random.random(len(table)) < 0.4)] + [0, 0, 12, 0]
    return np.concatenate([table, low, high]).astype(np.float32)


def _figurate(random: np.random.Generator, table: np.ndarray) -> np.ndarray:
    """Long notes broken into faster figures around them."""
    rows = []
    for onset, offset, pitch, part in table:
        length = offset - onset
        if length < 0.3 or random.random() < 0.4:
            rows.append((onset, offset, pitch, part))
            continue
        count = int(random.integers(2, 5))
        turns = (0, *random.choice([3, 4, 7, 12, -12, 2, -5, 5], 3))
        step = length / count
        rows += [(onset + k * step, onset + (k + 1) * step, pitch + turns[k], part) for k in range(count)]
    return np.array(rows, np.float32)


def perform(random: np.random.Generator, table: np.ndarray, length_s: float) -> Performance:
    """Play a note table with expression.

    Args:
        random: source of every choice.
        table: note table (onset s, offset s, pitch, part).
        length_s: notes that would start later are left out.
    """
    table = table[(table[:, 2] >= LOWEST_PITCH) & (table[:, 2] <= HIGHEST_PITCH)]
    table = table[np.argsort(table[:, 0], kind="stable")].astype(np.float64)
    table[:, :2] = _bend_tempo(random, table[:, :2], length_s)
    onset, release = _touch(random, table)
    velocity = _dynamics(random, table, onset)
    pedals = _pedalling(random, table, length_s)
    notes = np.stack([onset, release, release, table[:, 2], velocity], axis=1)
    notes = notes[(notes[:, 0] > 0.05) & (notes[:, 0] < length_s - 0.1)]
    return Performance(_resolve(_hold(notes, pedals)).astype(np.float32), pedals.astype(np.float32))


def _bend_tempo(random: np.random.Generator, times: np.ndarray, length_s: float) -> np.ndarray:
    knots = np.arange(0, length_s + 30, 1.5)
    drift = np.cumsum(random.normal(0, 0.05, len(knots)))
    rate = np.exp(0.5 * (drift - drift.mean()) + random.normal(0, 0.05, len(knots)))
    played = np.concatenate([[0], np.cumsum(1.5 * rate)[:-1]])
    return np.interp(times, knots, played)


def _touch(random: np.random.Generator, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Onsets with jitter and spread chords; releases by articulation, which differs by hand."""
    count, pitch, part = len(table), table[:, 2], table[:, 3].astype(int)
    length = table[:, 1] - table[:, 0]
    articulation = np.exp(random.uniform(np.log(0.22), np.log(1.08), 64))[part % 64]
    # Touch changes within a piece too, a few seconds at a time.
    passages = (table[:, 0] // random.uniform(2, 8)).astype(int) % 64
    articulation = articulation * np.exp(random.normal(0, 0.2, 64))[passages]
    jitter = random.normal(0, random.uniform(0.002, 0.02), count)
    onset = table[:, 0] + jitter
    if random.random() < 0.3:
        spread = random.uniform(0.004, 0.06)
        chord = np.round(table[:, 0] / 0.02).astype(int)
        rolled = random.random(int(chord.max(initial=0)) + 2) < 0.5
        order = np.lexsort((pitch, chord))
        first = np.searchsorted(chord[order], chord[order])
        rank = np.empty(count)
        rank[order] = np.arange(count) - first
        onset = onset + spread * rank * rolled[np.maximum(chord, 0)]
    hold = np.clip(articulation * np.exp(random.normal(0, 0.15, count)), 0.12, 1.15)
    release = onset + np.maximum(length * hold, SHORTEST_NOTE_S)
    return onset, release


def _dynamics(random: np.random.Generator, table: np.ndarray, onset: np.ndarray) -> np.ndarray:
    """Velocities: a level that wanders, voices at different levels, accents and scatter."""
    count, pitch, part = len(table), table[:, 2], table[:, 3].astype(int)
    knots = np.arange(0, max(1.0, float(onset.max(initial=0))) + 8, random.uniform(1.5, 6))
    level = random.uniform(35, 88) + random.uniform(4, 22) * random.normal(size=len(knots))
    velocity = np.interp(onset, knots, level)
    velocity += random.normal(0, random.uniform(2, 14), 64)[part % 64]
    chord = np.round(table[:, 0] / 0.03).astype(int)
    order = np.lexsort((-pitch, chord))
    leads = np.zeros(count, bool)
    leads[order[np.unique(chord[order], return_index=True)[1]]] = True
    velocity += leads * random.uniform(0, 20)
    velocity += random.normal(0, random.uniform(2, 10), count)
    return np.clip(np.round(velocity), 6, 126)


def _pedalling(random: np.random.Generator, table: np.ndarray, length_s: float) -> np.ndarray:
    """Presses of the right pedal: none, syncopated with the harmony, or at the player's whim."""
    if random.random() < 0.3:
        return np.zeros((0, 3))
    shallow_share = random.uniform(0, 0.6) if random.random() < 0.4 else 0.0
    presses = []
    period = float(np.exp(random.uniform(np.log(0.4), np.log(4.0))))
    bass = table[table[:, 2] < random.integers(48, 64), 0]
    by_bass = random.random() < 0.5 and len(bass) > 8
    time = random.uniform(0, 2)
    while time < length_s:
        change = time + period * random.uniform(0.6, 1.5)
        if by_bass:
            after = bass[bass > change - 0.3 * period]
            change = float(after[0]) if len(after) and after[0] < change + 3 else change
        lift = change + random.uniform(-0.08, 0.06)
        if random.random() < 0.85:
            depth = random.uniform(0.1, HOLDING_DEPTH) if random.random() < shallow_share else 1.0
            presses.append((time + random.uniform(0.04, 0.25), lift, depth))
        time = max(change, time + 0.2)
    pedals = np.array([(down, up, depth) for down, up, depth in presses if up > down + 0.08])
    return pedals.reshape(-1, 3)


def _hold(notes: np.ndarray, pedals: np.ndarray) -> np.ndarray:
    """Let a note whose key is released under the pedal sound until the pedal goes up."""
    held = notes.copy()
    for down, up, depth in pedals:
        if depth <= HOLDING_DEPTH:
            continue
        under = (notes[:, 1] >= down) & (notes[:, 1] < up)
        held[under, 2] = np.maximum(held[under, 2], up)
    return held


def _resolve(notes: np.ndarray) -> np.ndarray:
    """One key is one note at a time: drop doubles, end each note where its key is struck again."""
    notes = notes[np.lexsort((notes[:, 0], notes[:, 3]))]
    kept: list[np.ndarray] = []
    for note in notes:
        if kept and kept[-1][3] == note[3]:
            if note[0] - kept[-1][0] < SHORTEST_REPETITION_S:
                continue
            kept[-1][1:3] = np.minimum(kept[-1][1:3], note[0] - 0.002)
        kept.append(note.copy())
    resolved = np.array(kept).reshape(-1, 5)
    return resolved[np.argsort(resolved[:, 0], kind="stable")]
