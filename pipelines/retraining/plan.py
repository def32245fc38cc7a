"""The steps of a run, in order, and what each of them reads and needs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Needs(StrEnum):
    """What a step has to be run with."""

    #: The services' packages.
    SERVICES = "services"
    #: The training environment.
    TRAINING = "training"
    #: The training environment; a GPU, where there is one, makes it much faster.
    GPU = "gpu"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a function `run` in `pipelines.retraining.steps.NAME`, and the command of that module.

    Attributes:
        name: of the step.
        reads: the steps whose results it reads.
        by: what of the run's record decides what it makes, besides the model; another run with the same takes
            over what was made. None for a step with effects outside, which are each run's own.
        needs: what it is run with.
        release: whether it is left out of a run that is not to be released.
    """

    name: str
    reads: tuple[str, ...] = ()
    by: tuple[str, ...] | None = ()
    needs: Needs = Needs.TRAINING
    release: bool = False

    @property
    def module(self) -> str:
        """The module that holds it."""
        return f"pipelines.retraining.steps.{self.name}"


STEPS: Final = (
    # What lies in the given folders may change from run to run: it is always looked at anew.
    Step("collect", by=None),
    Step("build", ("collect",), by=("seed", "budget")),
    Step("train", ("collect", "build"), by=("seed", "budget", "start", "champion"), needs=Needs.GPU),
    Step("export", ("train",)),
    Step("parity", ("build", "train", "export")),
    Step("profile", ("collect", "build", "train", "export", "parity"), by=("budget", "champion")),
    Step("evaluate", ("profile",), by=("budget", "champion")),
    Step("register", ("train", "parity", "profile", "evaluate"), by=None),
    Step("gate", ("profile", "evaluate"), by=None),
    Step("publish", ("profile", "gate"), by=None, release=True),
    Step("canary", ("publish",), by=None, needs=Needs.SERVICES, release=True),
    Step("outcome", ("gate",), by=None),
)

BY_NAME: Final = {step.name: step for step in STEPS}
