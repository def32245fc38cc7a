"""What a model reached on each piece of a fixed test set: plain figures, kept as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class PieceScores:
    """What a model reached on one piece: a recording's excerpt, or a page.

    Attributes:
        name: of the piece, unique in its test set.
        slices: what kind of piece it is, such as `{"instrument": "timgm-grand", "polyphony": "thick"}`.
        measures: by name from 0 to 1, the more the better; absent where the piece gives no occasion.
    """

    name: str
    slices: Mapping[str, str]
    measures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model reached on one test set.

    Attributes:
        model: its name, such as `piano`.
        digest: SHA-256, in hex, of what decided the answers (`model_digest`).
        test_set: name of the test set.
        test_set_digest: SHA-256, in hex, of all that the test set asks and of its true answers.
        pieces: in the test set's order.
    """

    model: str
    digest: str
    test_set: str
    test_set_digest: str
    pieces: tuple[PieceScores, ...]

    def encode(self) -> str:
        """Write as JSON."""
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def decode(text: str) -> Evaluation:
        """Read what `encode` wrote."""
        said = json.loads(text)
        pieces = tuple(PieceScores(**piece) for piece in said.pop("pieces"))
        return Evaluation(**said, pieces=pieces)

    def means(self) -> dict[str, float]:
        """Mean of each measure over the pieces that have it."""
        found: dict[str, list[float]] = {}
        for piece in self.pieces:
            for measure, value in piece.measures.items():
                found.setdefault(measure, []).append(value)
        return {measure: sum(values) / len(values) for measure, values in found.items()}


def model_digest(onnx: Path, card: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of a model's file and its card's thresholds: together they decide what is answered."""
    digest = hashlib.sha256(onnx.read_bytes())
    digest.update(json.dumps(card.get("thresholds", {}), sort_keys=True).encode())
    return digest.hexdigest()


def encode_all(evaluations: Sequence[Evaluation]) -> str:
    """Write the evaluations of a model on several test sets as one JSON array."""
    return "[" + ",\n".join(evaluation.encode() for evaluation in evaluations) + "]\n"


def decode_all(text: str) -> tuple[Evaluation, ...]:
    """Read what `encode_all` wrote."""
    return tuple(Evaluation.decode(json.dumps(said)) for said in json.loads(text))
