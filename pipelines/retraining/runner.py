"""Who runs the steps of a run: as processes of this machine here, as jobs of a cluster elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol

from pipelines.retraining.environment import ROOT
from pipelines.retraining.errors import RetrainingError, StepFailedError
from pipelines.retraining.plan import Needs, Step
from pipelines.retraining.run import Run

#: Takes a line of a step's log as it is written.
Say = Callable[[str], None]

#: Tells a step's process who leads the run: it ends when that process does.
LEADER: Final = "COPYIST_RETRAIN_LEADER"
_TRAINING_PYTHON: Final = ROOT / ".venv-train" / "bin" / "python"


class Runner(Protocol):
    """Runs one step of a run at a time; synchronous."""

    def run(self, step: Step, run: Run, say: Say) -> None:
        """Run a step to its end: `python -m STEP.module RUN.folder`, with what it needs.

        A step that is done already ends at once; one that was interrupted goes on where it stopped; one that
        still runs, as who led the run was lost, is waited for rather than begun again.

        Args:
            step: which.
            run: whose; its folder is where the step finds what it reads and puts what it makes.
            say: gets each line that the step prints, as it comes.

        Raises:
            StepFailedError: the step ended with an error. Its own words are in its record, if it had any.
        """
        ...

    def cancel(self, run: Run) -> None:
        """End what runs of a run; it can go on later where it stopped."""
        ...


class ProcessRunner:
    """Runs steps as processes of this machine, each in the environment that it needs."""

    def run(self, step: Step, run: Run, say: Say) -> None:
        """Run a step; see `Runner`. It ends with this process, however that ends."""
        python = Path(sys.executable) if step.needs is Needs.SERVICES else training_python()
        command = [str(python), "-m", step.module, str(run.folder.resolve())]
        environment = os.environ | {
            LEADER: str(os.getpid()),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
            "TQDM_MININTERVAL": "5",
            # One processor is left to what makes the data, and to what serves beside.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) - 1))),
        }
        with (
            run.log(step.name).open("a", encoding="utf-8") as log,
            subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="backslashreplace",
            ) as process,
        ):
            for line in process.stdout or ():
                log.write(line)
                log.flush()
                if line.strip():
                    say(line.rstrip())
        if process.returncode != 0:
            raise failed(step, run, f"its process ended with status {process.returncode}")

    def cancel(self, run: Run) -> None:
        """Nothing to do: steps end with this process."""


def failed(step: Step, run: Run, how: str) -> StepFailedError:
    """Say that a step has failed, in its own words where it left any."""
    record = run.step(step.name)
    said = record.problem if record is not None and record.problem else f"{how}"
    return StepFailedError(
        f"The step {step.name} of run {run.id} failed: {said}.",
        remedy=f"See {run.log(step.name)}; `copyist retrain --resume {run.id}` goes on with it.",
    )


def training_python() -> Path:
    """The interpreter of the training environment: this one's, if it has torch, else `.venv-train`'s.

    Raises:
        RetrainingError: there is none.
    """
    if find_spec("torch") is not None:
        return Path(sys.executable)
    if _TRAINING_PYTHON.exists():
        return _TRAINING_PYTHON
    raise RetrainingError(
        "Retraining needs the training environment, which is not there.",
        remedy=f"Make it with `make .venv-train/train.stamp` in {ROOT}.",
    )
