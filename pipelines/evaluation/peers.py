"""Other systems, each in an environment of its own, to be measured in the same run as ours."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PEER_PYTHON = Path(".venv-peer/bin/python")


@dataclass(frozen=True)
class PeerAnswer:
    """What a peer made of one file.

    Attributes:
        file: the recording.
        seconds: time in its own process, model loaded.
        notes: rows of onset s, offset s, MIDI pitch, velocity.
    """

    file: Path
    seconds: float
    notes: np.ndarray


def basic_pitch_installed() -> bool:
    """Whether `make peer` has prepared basic-pitch's environment."""
    return PEER_PYTHON.exists()


def basic_pitch(files: Sequence[Path]) -> Iterator[PeerAnswer]:
    """Transcribe `files` with basic-pitch, in order.

    Raises:
        subprocess.CalledProcessError: it failed; its output says why.
    """
    command = [str(PEER_PYTHON), "-m", "pipelines.evaluation.basic_pitch_peer", *map(str, files)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    for line in done.stdout.splitlines():
        answer = json.loads(line)
        notes = np.array(answer["notes"], float).reshape(-1, 4)
        yield PeerAnswer(Path(answer["file"]), answer["seconds"], notes)
