"""The names of the files by which steps hand on what they have found."""

from __future__ import annotations

from typing import Final

#: Of `collect`.
COLLECTED: Final = "collected.json"
SCORES: Final = "scores"
RECORDINGS: Final = "recordings"
#: Of `train`: where checkpoints lie (not part of the result), and the trained weights.
RUN: Final = "_run"
WEIGHTS: Final = "weights.ckpt"
#: Of `parity`, `evaluate`, `gate`, `publish` and `canary`.
PARITY: Final = "parity.json"
EVALUATED_CANDIDATE: Final = "candidate.json"
EVALUATED_CHAMPION: Final = "champion.json"
VERDICT: Final = "verdict.json"
VERSION: Final = "version.json"
TRIAL: Final = "trial.json"
