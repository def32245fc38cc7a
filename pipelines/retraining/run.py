"""A run of retraining: its folder, what was asked of it, and what each of its steps has done.

The folder holds all there is to know of a run: `record.json` (what decides its results), `steps/NAME.json`
(what has become of each step), `log/NAME.log`, `state.json` and `outcome.json`. What steps make lies beside
the runs in `made/STEP-KEY`, KEY being the digest of all that decides it, so that another run of the same data
takes it as it is. A folder under `made` without `made.json` is work in progress: the step goes on with what
it finds there.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from pipelines.retraining.budgets import Budget
from pipelines.retraining.environment import Environment
from pipelines.retraining.errors import UnknownRunError
from services.runtime.release.manifest import ModelVersion

RECORD: Final = "record.json"
OUTCOME: Final = "outcome.json"
#: Where the run stands, for those who look from outside.
STATE: Final = "state.json"
#: Of a finished step's folder: its files with their digests; written last.
CONTENTS: Final = "made.json"


class Start(StrEnum):
    """What training starts from."""

    CHAMPION = "champion"
    SCRATCH = "scratch"


class StepState(StrEnum):
    """What has become of a step."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """All that decides a run's results, and why it was made.

    Attributes:
        id: of the run, lower-case letters, digits and dashes.
        model: which is retrained.
        reason: why, in a person's or an alert's words.
        seed: of data, weights and order.
        budget: how much it may do.
        start: what training starts from.
        champion: the version that served when the run began, and what exactly it is.
        data: folders of results and recordings given besides the corpora.
        release: whether a version that passes is released.
        commit: of the code; empty outside of a repository.
        environment: where it began.
        began: when.
    """

    id: str
    model: str
    reason: str
    seed: int
    budget: Budget
    start: Start
    champion: ModelVersion
    data: tuple[str, ...]
    release: bool
    commit: str
    environment: Environment
    began: datetime

    def to_json(self) -> dict[str, Any]:
        """Write as JSON values."""
        return asdict(self) | {"began": self.began.isoformat()}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            **{
                **said,
                "budget": Budget(**said["budget"]),
                "start": Start(said["start"]),
                "champion": ModelVersion(**said["champion"]),
                "data": tuple(said["data"]),
                "environment": Environment(**said["environment"]),
                "began": datetime.fromisoformat(said["began"]),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """What has become of a step.

    Attributes:
        name: of the step.
        state: see there.
        key: digest of all that decides what the step makes.
        inputs: digests of what the steps that it reads have made, by their names.
        output: digest of what it has made; empty before it is done.
        reused: whether another run had made it already.
        attempts: how often it was begun in this run.
        began, ended: when, the last time.
        problem: why it failed, if it did.
    """

    name: str
    state: StepState
    key: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    output: str = ""
    reused: bool = False
    attempts: int = 1
    began: str = ""
    ended: str = ""
    problem: str = ""


class Run:
    """The folder of a run.

    Args:
        folder: `RUNS/ID`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made = folder.parent / "made"

    @classmethod
    def create(cls, folder: Path, record: RunRecord) -> Run:
        """Make the folder of a new run; the record is written last."""
        run = cls(folder)
        for part in (run.folder / "steps", run.folder / "log", run.made):
            part.mkdir(parents=True, exist_ok=True)
        write_json(folder / RECORD, record.to_json())
        return run

    @property
    def id(self) -> str:
        """The run's name."""
        return self.folder.name

    @property
    def record(self) -> RunRecord:
        """What was asked.

        Raises:
            UnknownRunError: there is no run in this folder.
        """
        try:
            return RunRecord.from_json(json.loads((self.folder / RECORD).read_text("utf-8")))
        except FileNotFoundError:
            raise UnknownRunError(f"There is no run {self.id} in {self.folder.parent}.") from None

    def step(self, name: str) -> StepRecord | None:
        """What has become of a step; None before it was first begun."""
        try:
            said = json.loads(self._step_file(name).read_text("utf-8"))
        except FileNotFoundError:
            return None
        return StepRecord(**{**said, "state": StepState(said["state"])})

    def write_step(self, record: StepRecord) -> None:
        """Tell what has become of a step."""
        write_json(self._step_file(record.name), asdict(record))

    def steps(self) -> list[StepRecord]:
        """What has become of all steps that were begun, in that order."""
        names = [path.stem for path in (self.folder / "steps").glob("*.json")]
        return sorted((step for name in names if (step := self.step(name))), key=lambda step: step.began)

    def output(self, name: str) -> Path:
        """The folder of what a finished step has made.

        Raises:
            FileNotFoundError: the step is not done.
        """
        step = self.step(name)
        if step is None or step.state is not StepState.DONE:
            raise FileNotFoundError(f"The step {name} of run {self.id} is not done.")
        return self.made_folder(name, step.key)

    def made_folder(self, name: str, key: str) -> Path:
        """Where a step puts what it makes."""
        return self.made / f"{name}-{key[:20]}"

    def log(self, name: str) -> Path:
        """The log of a step."""
        return self.folder / "log" / f"{name}.log"

    @property
    def outcome(self) -> Mapping[str, Any] | None:
        """How the run has ended; None while it has not."""
        try:
            found: Mapping[str, Any] = json.loads((self.folder / OUTCOME).read_text("utf-8"))
        except FileNotFoundError:
            return None
        return found

    def _step_file(self, name: str) -> Path:
        return self.folder / "steps" / f"{name}.json"


def new_id(model: str, now: datetime) -> str:
    """Name a new run: `piano-20261121-1630-3fa2`."""
    return f"{model}-{now:%Y%m%d-%H%M}-{secrets.token_hex(2)}"


def now() -> str:
    """The time, as records have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", "utf-8")
    partial.replace(path)


def digest_of(value: Any) -> str:
    """SHA-256, in hex, of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
