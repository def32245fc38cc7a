"""What must hold after a chaos test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import fsspec
import psutil
import sqlalchemy as sa

from loadtests.chaos.killing import Kill, Target
from loadtests.chaos.orders import Caller, Order
from loadtests.chaos.site import SERVICES, Site
from loadtests.chaos.stagelogs import StageLogs
from loadtests.chaos.watching import Watch
from services.runtime.jobs.job import JobState
from services.runtime.jobs.queue import JobQueue
from services.runtime.jobs.tables import JOBS

#: A dead worker's job must be taken from it by then.
TAKEOVER_LIMIT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """Something that was looked at.

    Attributes:
        what: what must hold.
        broken: where it does not; empty when all is well.
    """

    what: str
    broken: tuple[str, ...]


def check_jobs(
    site: Site,
    caller: Caller,
    placed: Sequence[Order],
    jobs: Sequence[str],
    expected: Mapping[tuple[str, int], Mapping[str, str]],
) -> list[Check]:
    """Look at every job and its results.

    Args:
        site: where it was.
        caller: asks the services.
        placed: what was handed in.
        jobs: the ids that were given for it, in the same order.
        expected: the digests of the results of an undisturbed run, by service and content.
    """
    told = {job: caller.job(order.service, job) for order, job in zip(placed, jobs, strict=True)}
    unequal = [
        f"{job} ({order.service}, content {order.content})"
        for order, job in zip(placed, jobs, strict=True)
        if told[job]["state"] == JobState.COMPLETED
        and caller.digests(order.service, job) != expected[order.service, order.content]
    ]
    again = caller.submit_all(placed)
    keys = [order.key for order in placed]
    with site.database.read() as connection:
        rows = connection.execute(sa.select(JOBS.c.id, JOBS.c.key).where(JOBS.c.key.in_(keys))).all()
    return [
        Check("every job that was taken has completed", tuple(_ended_otherwise(told))),
        Check("each was taken once", tuple(f"{row.key}: {row.id}" for row in rows if row.id not in told)),
        Check(
            "handed in again, each is the same job",
            tuple(
                f"{first}, then {second}"
                for first, second in zip(jobs, again, strict=True)
                if first != second
            ),
        ),
        Check("results are those of an undisturbed run", tuple(unequal)),
        Check("no work is left in the queue", tuple(_left_in_queue(site))),
    ]


def _ended_otherwise(told: Mapping[str, Mapping[str, object]]) -> list[str]:
    return [
        f"{job} {entry['state']}: {entry['problem']}"
        for job, entry in told.items()
        if entry["state"] != JobState.COMPLETED
    ]


def _left_in_queue(site: Site) -> list[str]:
    queue = JobQueue(site.database)
    try:
        return [status.workflow_id for service in SERVICES for status in queue.taken(service)]
    finally:
        queue.close()


def check_logs(logs: StageLogs, jobs: Sequence[str]) -> list[Check]:
    """Look at what the workers wrote."""
    twice = [f"{job} {count} times" for job, count in logs.completed.items() if count > 1]
    # A worker may die after the job's end was recorded and before it wrote so; not of all jobs, though.
    written = [] if logs.ended >= len(jobs) else [f"{logs.ended} ends of stages in the logs"]
    return [
        Check(
            "no stage began again after it had ended", tuple(f"{stage} of {job}" for job, stage in logs.again)
        ),
        Check("no job completed twice", tuple(twice)),
        Check("the workers' logs tell of the stages", tuple(written)),
    ]


def check_kills(done: Sequence[Kill], missed: Sequence[Target], watch: Watch) -> list[Check]:
    """Look at how dead workers' jobs went on."""
    late = [
        f"{kill.job}: {'never' if delay is None else f'{delay:.0f} s'}"
        for kill in done
        if kill.job and ((delay := takeover_s(kill, watch)) is None or delay > TAKEOVER_LIMIT_S)
    ]
    return [
        Check(f"dead workers' jobs were taken from them within {TAKEOVER_LIMIT_S:.0f} s", tuple(late)),
        Check("every planned kill was done", tuple(target.name for target in missed)),
    ]


def takeover_s(kill: Kill, watch: Watch) -> float | None:
    """Seconds from a worker's death until its job could be begun by others, or was; None if it never was.

    A worker that is started again under its name has the job still, and begins it at once.
    """
    resumed = resumed_s(kill, watch)
    if resumed is None:
        return None
    return min(resumed, max(0.0, watch.held_at.get((kill.job, kill.worker), kill.at) - kill.at))


def resumed_s(kill: Kill, watch: Watch) -> float | None:
    """Seconds from a worker's death until its job was begun again, which waits for a free worker."""
    later = [
        at for (job, attempt), at in watch.begun_at.items() if job == kill.job and attempt > kill.attempt
    ]
    return min(later) - kill.at if later else None


def check_files(site: Site, jobs: Sequence[str]) -> list[Check]:
    """Look at what lies in the storage: inputs and results of jobs, and nothing else."""
    if site.objects is not None:
        # The bucket's name is part of the paths.
        bucket = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)
        root = site.stack.options.files_url.removeprefix("s3://")
        names = [path.removeprefix(f"{root}/") for path in bucket.find(root)]
    else:
        folder = Path(site.stack.options.files_url)
        names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    folders = tuple(f"jobs/{job}/{part}/" for job in jobs for part in ("input", "files"))
    strange = [name for name in names if not name.startswith(folders) or name.endswith(".part")]
    return [Check("the storage holds inputs and results alone", tuple(strange))]


def check_leftovers(folder: Path) -> list[Check]:
    """Look, when all has been stopped, at what was left behind.

    Args:
        folder: the site's, which stands in the environment of every process that was started there.
    """
    places = (folder / "tmp", folder / "run" / "tmp")
    files = [str(path.relative_to(folder)) for place in places for path in place.rglob("*")]
    # Of onnxruntime, one for all of its sessions.
    files = [name for name in files if not name.endswith("/.ses")]
    processes = []
    for process in psutil.process_iter(["pid", "name"]):
        try:
            if str(folder) in process.environ().get("TMPDIR", ""):
                processes.append(f"{process.info['pid']} {process.info['name']}")
        except psutil.Error:
            continue
    own = psutil.Process().pid
    processes = [process for process in processes if not process.startswith(f"{own} ")]
    return [
        Check("no temporary file is left", tuple(files)),
        Check("no process is left", tuple(processes)),
    ]
