"""Reads a Dockerfile, for as much of its language as the images here use."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

from services.triton.environment import REPOSITORY_ROOT

IMAGES = REPOSITORY_ROOT / "images"
NAMES = ("copyist", "training")


@dataclass(frozen=True)
class Instruction:
    """One instruction: its word in capitals, and what follows on one line."""

    word: str
    text: str

    @property
    def words(self) -> list[str]:
        """What follows, split as a shell would."""
        return shlex.split(self.text)


@dataclass
class Stage:
    """What one FROM begins."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        """Its instructions of one kind."""
        return [instruction for instruction in self.instructions if instruction.word == word]

    @property
    def variables(self) -> dict[str, str]:
        """What its ENV instructions set."""
        return dict(part.split("=", 1) for env in self.all("ENV") for part in env.words)


def read(name: str) -> list[Stage]:
    """The stages of `images/NAME/Dockerfile`."""
    stages: list[Stage] = []
    for instruction in _instructions(IMAGES / name / "Dockerfile"):
        if instruction.word == "FROM":
            base, *alias = instruction.words
            stages.append(Stage(base, alias[1] if alias else ""))
        else:
            stages[-1].instructions.append(instruction)
    return stages


def _instructions(path: Path) -> list[Instruction]:
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [Instruction(*line.strip().split(maxsplit=1)) for line in whole.splitlines() if line.strip()]
