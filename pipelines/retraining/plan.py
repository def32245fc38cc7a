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
        needs: what it is run with.
        decided: whether what it makes is decided by the record and by what it reads, so that other runs may
            take it over; else it has effects outside, which are this run's own.
        release: whether it is left out of a run that is not to be released.
    """

    name: str
    reads: tuple[str, ...] = ()
    needs: Needs = Needs.TRAINING
    decided: bool = True
    release: bool = False

    @property
    def module(self) -> str:
        """The module that holds it."""
        return f"pipelines.retraining.steps.{self.name}"


STEPS: Final = (
    # What lies in the given folders may change from run to run: it is always looked at anew.
    Step("collect", decided=False),
    Step("build", ("collect",)),
    Step("train", ("build",), Needs.GPU),
    Step("export", ("train",)),
    Step("parity", ("build", "train", "export")),
    Step("evaluate", ("build", "export")),
    Step("profile", ("build", "train", "export", "evaluate")),
    Step("register", ("train", "export", "parity", "evaluate", "profile"), decided=False),
    Step("gate", ("evaluate", "profile", "export"), decided=False),
    Step("publish", ("profile", "gate"), decided=False, release=True),
    Step("canary", ("publish",), Needs.SERVICES, decided=False, release=True),
    Step("outcome", ("gate",), decided=False),
)

BY_NAME: Final = {step.name: step for step in STEPS}
