"""Coloured pages with what is wrong on them: a frame around every measure that is not right, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import cv2
import numpy as np

from pipelines.evaluation.omr_measures import KEYS, Pairs
from pipelines.evaluation.omr_works import Measure
from services.client.pages import Box as ClientBox
from services.omr.assembly.recognition import Box

_WRONG: Final = (60, 60, 230)  # blue, green, red
_WITHOUT_TRUTH: Final = (200, 0, 200)
#: What a note goes through, one asking for more than the one before.
_STEPS: Final = ("counted", "diatonic", "pitch", "onset", "note")


def verdicts(truth: Sequence[Measure], found: Sequence[Measure], pairs: Pairs) -> dict[int, str]:
    """For each found measure that is not right, by its index: right notes of all, and where the others go.

    `9/12 count-1 onset-2` says that of twelve notes one is missing or added, and two more begin elsewhere.
    """
    partner = {j: i for i, j in pairs}
    told = {}
    for j, measure in enumerate(found):
        if j not in partner:
            told[j] = "not in the truth"
        elif text := _verdict(truth[partner[j]], measure):
            told[j] = text
    return told


def _verdict(truth: Measure, found: Measure) -> str:
    left = total = max(len(truth), len(found))
    losses = []
    for step in _STEPS:
        shared = (Counter(map(KEYS[step], truth)) & Counter(map(KEYS[step], found))).total()
        if shared < left:
            losses.append(f"{step}-{left - shared}")
        left = shared
    return f"{left}/{total} {' '.join(losses)}" if losses else ""


def mark(page: bytes, boxes: Mapping[int, Box | ClientBox], told: Mapping[int, str]) -> bytes:
    """Frame the measures that are not right.

    Args:
        page: a picture of the page, encoded.
        boxes: of its measures by their index in the work, in px of that picture.
        told: what is wrong with measures of the work.
    """
    picture = cv2.imdecode(np.frombuffer(page, np.uint8), cv2.IMREAD_COLOR)
    thickness = max(1, picture.shape[1] // 800)
    for index, box in boxes.items():
        if index not in told:
            continue
        colour = _WITHOUT_TRUTH if told[index].startswith("not") else _WRONG
        left, top = round(box.x), round(box.y)
        right, bottom = round(box.x + box.width), round(box.y + box.height)
        cv2.rectangle(picture, (left, top), (right, bottom), colour, thickness)
        foot, scale = (left + 4, top - 2 * thickness), picture.shape[1] / 3200
        cv2.putText(picture, told[index], foot, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness)
    return bytes(cv2.imencode(".png", picture)[1])
