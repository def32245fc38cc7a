"""The pods of a Job: what keeps them waiting, what ended them, and what they write."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from kubernetes.client import CoreV1Api

from services.cluster.connection import TIMES_S, Cluster
from services.cluster.errors import ClusterRefusedError, ClusterUnavailableError, NotInClusterError

logger = logging.getLogger(__name__)

#: Most bytes of a log that are read at a time.
LOG_BYTES: Final = 1 << 20
#: How far the clocks of nodes may lie apart, in seconds.
_CLOCKS_S: Final = 60.0
#: A moment as the kubelet writes it before a line: the fraction of a second may have any number of digits.
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_BEGUN: Final = ("Running", "Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class JobPod:
    """A pod of a Job as it was when Kubernetes was asked.

    Attributes:
        name: in its namespace.
        phase: `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
        created: when.
        trouble: why it waits or failed, in words; empty where there is nothing to tell.
    """

    name: str
    phase: str
    created: datetime
    trouble: str

    @property
    def begun(self) -> bool:
        """Whether it may have written something."""
        return self.phase in _BEGUN


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far the log of a Job has been read.

    Attributes:
        at: the moment of the last line, in UTC with nine digits after the point; empty before the first.
        lines: how many lines of that very moment.
    """

    at: str = ""
    lines: int = 0

    def after(self, line: LogLine) -> LogPosition:
        """The position behind the line that comes next."""
        return LogPosition(line.at, self.lines + 1 if line.at == self.at else 1)

    @staticmethod
    def is_moment(text: str) -> bool:
        """Whether a text is a moment such as `at`."""
        return bool(text) and _utc(text) == text


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a pod has written.

    Attributes:
        at: when, as `LogPosition` has it.
        text: without its end.
    """

    at: str
    text: str


class JobPods:
    """The pods of the Jobs of one namespace. Safe to use from several threads."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._core = CoreV1Api(cluster.client)

    def find(self, selector: str) -> tuple[JobPod, ...]:
        """List the pods that a label selector chooses, oldest first.

        Raises:
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        lists = partial(
            self._core.list_namespaced_pod,
            self._cluster.namespace,
            label_selector=selector,
            _request_timeout=TIMES_S,
        )
        found: list[Any] = self._cluster.ask(f"list the pods with {selector}", lists).items
        pods = [
            JobPod(pod.metadata.name, pod.status.phase, pod.metadata.creation_timestamp, _trouble(pod))
            for pod in found
            if pod.status and pod.status.phase
        ]
        return tuple(sorted(pods, key=lambda pod: pod.created))

    def log(self, pod: str, *, lines: int) -> str:
        """Read the last lines of a pod's log, at most `LOG_BYTES` bytes.

        Raises:
            NotInClusterError: the pod is gone.
            ClusterUnavailableError, ClusterForbiddenError: as `Cluster.ask`.
        """
        return self._read(pod, tail_lines=lines)

    def log_after(self, pod: str, position: LogPosition) -> Iterator[LogLine]:
        """Yield the whole lines that a pod has written after a position.

        Nothing where they cannot be read just now, as the pod's node does not answer, its container has not
        begun or the pod is gone. At most `LOG_BYTES` are read: what comes after them, the next time.

        Raises:
            ClusterForbiddenError: as `Cluster.ask`.
        """
        try:
            text = self._read(pod, patience_s=0.0, timestamps=True, since_seconds=_seconds_since(position))
        except (ClusterRefusedError, ClusterUnavailableError, NotInClusterError) as error:
            logger.info("%s", error)
            return
        passed = 0
        for line in text.split("\n")[:-1]:
            moment, _, rest = line.partition(" ")
            at = _utc(moment)
            if not at or at < position.at:
                continue
            if at == position.at and passed < position.lines:
                passed += 1
                continue
            yield LogLine(at, rest)

    def _read(self, pod: str, *, patience_s: float | None = None, **options: Any) -> str:
        read = partial(
            self._core.read_namespaced_pod_log,
            pod,
            self._cluster.namespace,
            limit_bytes=LOG_BYTES,
            _request_timeout=TIMES_S,
            **options,
        )
        return str(self._cluster.ask(f"read the log of the pod {pod}", read, patience_s=patience_s))


def _utc(moment: str) -> str:
    """A moment as texts that sort as the moments do; empty where it is none."""
    found = _MOMENT.fullmatch(moment)
    if not found:
        return ""
    whole, fraction, zone = found.groups()
    second = datetime.fromisoformat(f"{whole}{zone}").astimezone(UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{(fraction or '').ljust(9, '0')}Z"


def _seconds_since(position: LogPosition) -> int | None:
    if not position.at:
        return None
    then = datetime.fromisoformat(f"{position.at[:19]}+00:00")
    return int((datetime.now(UTC) - then).total_seconds() + _CLOCKS_S)


def _trouble(pod: Any) -> str:
    """What Kubernetes says of a pod that waits or failed, in words."""
    status = pod.status
    conditions = {condition.type: condition for condition in status.conditions or ()}
    disrupted, scheduled = conditions.get("DisruptionTarget"), conditions.get("PodScheduled")
    if status.reason:  # such as Evicted
        return _words(status.reason, status.message)
    if disrupted and disrupted.status == "True":
        return _words(disrupted.reason, disrupted.message)
    if status.phase == "Pending" and scheduled and scheduled.status == "False":
        return _words(scheduled.reason, scheduled.message)
    for container in status.container_statuses or ():
        state = container.state
        if state.waiting and state.waiting.reason not in (None, "ContainerCreating", "PodInitializing"):
            return _words(state.waiting.reason, state.waiting.message)
        if state.terminated and state.terminated.exit_code:
            ended = f"{state.terminated.reason or 'Error'}, exit status {state.terminated.exit_code}"
            return _words(ended, state.terminated.message)
    return ""


def _words(reason: str | None, message: str | None) -> str:
    return ": ".join(filter(None, (reason, (message or "").strip().removesuffix("."))))
