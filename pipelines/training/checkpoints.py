"""Where a training run stands: its last checkpoint, and its record, which goes as far as that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from pipelines.training.curves import LOSSES, VALIDATION, keep_rows
from pipelines.training.distributed import Ranks

#: In the folder of a run.
CHECKPOINT: Final = "last.ckpt"


def save(folder: Path, state: Mapping[str, Any]) -> None:
    """Write where a run stands, `step` among it; what was written before stays until all of it is there."""
    partial = folder / "last.partial"
    torch.save(dict(state), partial)
    partial.rename(folder / CHECKPOINT)


def resume(folder: Path, ranks: Ranks) -> dict[str, Any] | None:
    """Read where a run stands, and take its record back to there; None where it has not begun."""
    path = folder / CHECKPOINT
    # Ours, and it may hold numpy arrays.
    state = torch.load(path, map_location=ranks.device, weights_only=False) if path.exists() else None
    if ranks.leads:
        for name in (LOSSES, VALIDATION):
            keep_rows(folder / name, state["step"] if state else 0)
        if state:
            print(f"resuming at step {state['step']}", flush=True)
    return state
