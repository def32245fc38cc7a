"""How much a retraining run may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Sizes of a run. What they count is the model's own: pieces of one minute, or pages.

    Attributes:
        made: pieces or pages made to learn from, besides recordings that are given.
        validation: made to choose thresholds by and to judge on; of music that is never learnt from.
        profiled: of those, how many the reference profile is measured on.
        steps: of the optimiser.
        batch: examples a step; 0 for the recipe's own.
        side: length of a clip in frames, or side of a tile in px; 0 for the recipe's own.
        evaluated: pieces of each fixed test set that the gates judge by; 0 for all, and real music too.
        minutes: that training may take at most; 0 for no limit. A run that is cut short so depends on the
            machine's speed: its record does not reproduce it.
        corpora: whether Copyist's own corpora are learnt from, besides folders that are given.
    """

    made: int
    validation: int
    profiled: int
    steps: int
    batch: int = 0
    side: int = 0
    evaluated: int = 0
    minutes: float = 0.0
    corpora: bool = True

    def to_json(self) -> dict[str, Any]:
        """Write as JSON values."""
        return asdict(self)


#: By model and name. `small` fits a test machine; `full` is what the shipped versions were made with.
BUDGETS: Final[Mapping[str, Mapping[str, Budget]]] = {
    "piano": {
        "small": Budget(made=4, validation=6, profiled=4, steps=12, batch=2, side=96, evaluated=8),
        "full": Budget(made=2400, validation=240, profiled=200, steps=6500),
    },
    "symbols": {
        "small": Budget(made=12, validation=8, profiled=8, steps=20, batch=2, side=192, evaluated=8),
        "full": Budget(made=2600, validation=352, profiled=320, steps=10_000),
    },
    "context": {
        "small": Budget(made=12, validation=8, profiled=8, steps=20, batch=4, evaluated=8),
        "full": Budget(made=700, validation=40, profiled=40, steps=0),
    },
}

MODELS: Final = tuple(BUDGETS)
