"""The flow of a run: a DBOS workflow whose steps a `Runner` runs."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from dbos import DBOS, DBOSConfig, SetWorkflowID, WorkflowHandle

from pipelines.retraining.errors import RunUnderWayError
from pipelines.retraining.plan import STEPS, Step
from pipelines.retraining.results import VERDICT
from pipelines.retraining.run import STATE, Run, StepState, now, write_json
from pipelines.retraining.runner import Runner

_APPLICATION: Final = "copyist-retraining"
#: Runs begun by one version of the code go on with another: a step's record tells whether it is done.
_VERSION: Final = "1"
_WORKFLOW: Final = "retrain"

#: Told when a step begins, with None, and of each line that it prints.
Watch = Callable[[Step, str | None], None]


def lead(run: Run, runner: Runner, watch: Watch, database_url: str) -> Mapping[str, Any]:
    """Lead a run to its end; one that was interrupted goes on at the step that was under way.

    Args:
        run: which.
        runner: runs its steps.
        watch: is told how it goes.
        database_url: of DBOS's own tables.

    Returns:
        the run's outcome.

    Raises:
        RunUnderWayError: another run of this model is under way.
        StepFailedError: a step failed.
    """
    with _only_one(run):
        if run.outcome is not None:
            return run.outcome
        return _durably(run, runner, watch, database_url)


def _durably(run: Run, runner: Runner, watch: Watch, database_url: str) -> Mapping[str, Any]:
    def one(step: Step) -> None:
        done = run.step(step.name)
        if done is not None and done.state is StepState.DONE:
            return
        tell(run, "running", step.name)
        watch(step, None)
        runner.run(step, run, lambda line: watch(step, line))

    def retrain(run_id: str) -> None:
        for step in STEPS:
            if not step.release or is_to_be_released(run):
                DBOS.run_step({"name": step.name}, one, step)

    config: DBOSConfig = {
        "name": _APPLICATION,
        "system_database_url": database_url,
        "application_version": _VERSION,
        # Only who leads this very run takes it up again.
        "executor_id": run.id,
        # What a step raises is told once, by who leads the run.
        "log_level": "CRITICAL",
        "use_listen_notify": False,
    }
    DBOS(config=config)
    try:
        DBOS.workflow(name=_WORKFLOW, max_recovery_attempts=None)(retrain)
        DBOS.launch()
        _begun(run, retrain).get_result()
    except BaseException:
        tell(run, "failed", _last_step(run))
        raise
    finally:
        DBOS.destroy(destroy_registry=True)
    outcome = run.outcome or {}
    tell(run, outcome["state"], STEPS[-1].name)
    return outcome


def _begun(run: Run, retrain: Callable[[str], None]) -> WorkflowHandle[None]:
    """The run's workflow: the one that was interrupted, which DBOS has taken up by now, or else a new one.

    A workflow that failed is never taken up again by DBOS; the next one passes over the steps that are done.
    """
    known = DBOS.list_workflows(workflow_id_prefix=f"{run.id}/")
    for status in known:
        if status.status in ("PENDING", "ENQUEUED"):  # the latter while DBOS takes it up
            return DBOS.retrieve_workflow(status.workflow_id)
    with SetWorkflowID(f"{run.id}/{len(known) + 1}"):
        return DBOS.start_workflow(retrain, run.id)


def is_to_be_released(run: Run) -> bool:
    """Whether the candidate passed the gates, and is wanted."""
    verdict = json.loads((run.output("gate") / VERDICT).read_text("utf-8"))
    return run.record.release and bool(verdict["passed"])


def tell(run: Run, state: str, step: str) -> None:
    """Tell those who look from outside (metrics, `copyist models`) where a run stands.

    `state.json`: run, model, reason, step, state (`running`, `failed`, or how the run ended), began, at.
    """
    record = run.record
    said = {"run": run.id, "model": record.model, "reason": record.reason, "step": step, "state": state}
    write_json(run.folder / STATE, said | {"began": record.began.isoformat(), "at": now()})


def _last_step(run: Run) -> str:
    begun = run.steps()
    return begun[-1].name if begun else STEPS[0].name


@contextmanager
def _only_one(run: Run) -> Iterator[None]:
    """Hold the model's lock: one run at a time."""
    model = run.record.model
    path = run.folder.parent / f"{model}.lock"
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RunUnderWayError(
                f"{model} is being retrained already: run {lock.read().strip() or 'unknown'}.",
                remedy="Wait for it (`copyist retrain --list`), or end its process.",
            ) from None
        lock.truncate(0)
        lock.write(f"{run.id}\n")
        lock.flush()
        yield
