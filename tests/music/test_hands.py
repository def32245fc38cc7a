"""Hands: small textures whose division is plain to any pianist."""

from __future__ import annotations

from services.music.hands import LEFT, RIGHT, assign_staves
from services.music.performance import gather
from tests.music.examples import played


def staves_by_pitch(events: list[tuple[float, float, int | tuple[int, ...]]]) -> dict[int, set[int]]:
    performance = gather(played(events))
    found: dict[int, set[int]] = {}
    for pitch, staff in zip(performance.pitch.tolist(), assign_staves(performance).tolist(), strict=True):
        found.setdefault(pitch, set()).add(staff)
    return found


def test_melody_below_middle_c_stays_in_the_right_hand() -> None:
    events: list[tuple[float, float, int | tuple[int, ...]]] = []
    for beat in range(16):
        events += [(float(beat), 1.0, (31, 38, 43)), (float(beat), 1.0, (62, 59, 57, 59)[beat % 4])]
    found = staves_by_pitch(events)
    assert all(found[pitch] == {RIGHT} for pitch in (57, 59, 62))
    assert all(found[pitch] == {LEFT} for pitch in (31, 38, 43))


def test_accompaniment_above_middle_c_stays_in_the_left_hand() -> None:
    events: list[tuple[float, float, int | tuple[int, ...]]] = []
    for beat in range(16):
        events += [(float(beat), 0.5, 60), (beat + 0.5, 0.5, (64, 67))]
        events += [(float(beat), 1.0, (84, 86, 88, 86)[beat % 4])]
    found = staves_by_pitch(events)
    assert all(found[pitch] == {LEFT} for pitch in (60, 64, 67))
    assert all(found[pitch] == {RIGHT} for pitch in (84, 86, 88))


def test_no_hand_stretches_beyond_reach() -> None:
    performance = gather(played([(float(beat), 1.0, (36, 52, 64, 76)) for beat in range(8)]))
    staves = assign_staves(performance)
    for chord in range(8):
        for staff in (LEFT, RIGHT):
            pitches = performance.pitch[(performance.chord == chord) & (staves == staff)]
            assert pitches.max() - pitches.min() <= 16
