"""How a step is run: in a process of its own, only once, resumable, its results whole or not there at all."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pipelines.retraining.environment import Environment, code_digest
from pipelines.retraining.plan import BY_NAME, Step
from pipelines.retraining.run import (
    CONTENTS,
    Run,
    RunRecord,
    StepRecord,
    StepState,
    digest_of,
    now,
    write_json,
)
from pipelines.retraining.runner import LEADER
from services.errors import CopyistError
from services.runtime.disk import sha256_of
from services.runtime.parent import end_with_parent
from services.runtime.release.artefacts import Artefacts
from services.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Workplace:
    """What the function of a step works with.

    Attributes:
        run: whose step it is.
        record: of the run.
        folder: takes what the step makes. What an interrupted attempt left is still there.
        key: of the step.
        leads: whether this process keeps the step's records; one that works beside it writes nothing.
    """

    run: Run
    record: RunRecord
    folder: Path
    key: str
    leads: bool = True

    @property
    def champion(self) -> Path:
        """The folder of the version that served when the run began, fetched once."""
        record = self.record
        folder = self.run.made / f"champion-{record.model}-{record.champion.digest[:20]}"
        if not folder.exists():
            try:
                artefacts().fetch(record.model, record.champion, folder)
            except OSError:
                if not folder.exists():  # else another rank, or another run, was faster
                    raise
        return folder

    def read(self, name: str) -> Path:
        """The folder of what an earlier step has made."""
        return self.run.output(name)


def artefacts() -> Artefacts:
    """The published versions of this place."""
    settings = Settings.from_environment()
    return Artefacts(settings.models_url, settings.model_repository)


#: What a module of a step holds as `run`.
StepFunction = Callable[[Workplace], None]


def main(name: str, work: StepFunction) -> None:
    """Run the command line of the module of step `name`."""
    leader = os.environ.get(LEADER)
    if leader:
        end_with_parent(parent=int(leader))
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("run", type=Path, help="the run's folder")
    try:
        step, run = BY_NAME[name], Run(parser.parse_args().run)
        if int(os.environ.get("RANK", "0")) == 0:
            do(step, run, work)
        else:
            assist(step, run, work)
    except CopyistError as error:
        sys.exit(f"{error}")


def do(step: Step, run: Run, work: StepFunction) -> None:
    """Do a step, unless it is done; whatever becomes of it is recorded.

    Raises:
        Exception: what `work` raises.
    """
    with _alone(run, step):
        before = run.step(step.name)
        if before is not None and before.state is StepState.DONE:
            print(f"{step.name} is done", flush=True)
            return
        record, inputs = run.record, {name: _output_of(run, name) for name in _read_by(step, run.record)}
        key = key_of(step, record, inputs)
        begun = StepRecord(
            name=step.name,
            state=StepState.RUNNING,
            key=key,
            inputs=inputs,
            attempts=before.attempts + 1 if before is not None else 1,
            began=now(),
        )
        run.write_step(begun)
        folder = run.made_folder(step.name, key)
        reused = (folder / CONTENTS).exists()
        try:
            if reused:
                print(f"{step.name} was made by another run: taken over", flush=True)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                work(Workplace(run, record, folder, key))
                write_json(folder / CONTENTS, contents(folder))
        except BaseException as error:
            run.write_step(replace(begun, state=StepState.FAILED, ended=now(), problem=_told(error)))
            raise
        output = sha256_of(folder / CONTENTS)
        run.write_step(replace(begun, state=StepState.DONE, ended=now(), output=output, reused=reused))


def assist(step: Step, run: Run, work: StepFunction) -> None:
    """Work beside the process that does a step and keeps its records, as torch's launcher starts several."""
    before = run.step(step.name)
    if before is not None and before.state is StepState.DONE:
        return
    record, inputs = run.record, {name: _output_of(run, name) for name in _read_by(step, run.record)}
    key = key_of(step, record, inputs)
    folder = run.made_folder(step.name, key)
    if not (folder / CONTENTS).exists():
        folder.mkdir(parents=True, exist_ok=True)
        work(Workplace(run, record, folder, key, leads=False))


def key_of(step: Step, record: RunRecord, inputs: Mapping[str, str]) -> str:
    """Digest of all that decides what a step makes."""
    if step.by is None:
        return digest_of([step.name, record.id])
    said = record.to_json()
    return digest_of(
        {
            "step": step.name,
            "model": record.model,
            "code": code_digest(),
            "inputs": inputs,
            "by": {name: said[name] for name in step.by},
            "environment": asdict(Environment.here()),
        }
    )


def contents(folder: Path) -> dict[str, str]:
    """The files of a folder with their digests; names that begin with `_` are not part of the result."""
    return {
        str(path.relative_to(folder)): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith("_") for part in path.relative_to(folder).parts)
    }


def _read_by(step: Step, record: RunRecord) -> tuple[str, ...]:
    return tuple(name for name in step.reads if record.release or not BY_NAME[name].release)


def _output_of(run: Run, name: str) -> str:
    found = run.step(name)
    if found is None or found.state is not StepState.DONE:
        raise FileNotFoundError(f"The step {name} of run {run.id} is not done.")
    return found.output


def _told(error: BaseException) -> str:
    return str(error) if isinstance(error, CopyistError) else f"{type(error).__name__}: {error}"


@contextmanager
def _alone(run: Run, step: Step) -> Iterator[None]:
    """Wait until no other process does this step of this run."""
    with (run.folder / "steps" / f"{step.name}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{step.name} still runs in another process: waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
