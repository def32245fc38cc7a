"""Controllers and a kubelet for the stand-in's Jobs and TrainJobs: their commands run as processes here.

A Job's pods come one after another, as its `backoffLimit` allows; each runs the command of the first
container, with its environment, as a process of its own, and what it writes is the pod's log. A TrainJob has
one pod, whose container is that of the runtime that it names, told by the variables that Kubeflow's torch
policy gives to the launcher.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cluster.api_server import ApiServer
from tests.databases import free_port

ROOT = Path(__file__).parents[2]
#: Programs of the image, as they are called here.
PROGRAMS = {"python": [sys.executable], "torchrun": [sys.executable, "-m", "torch.distributed.run"]}


@dataclass
class Kubelet:
    """Runs what is started on an API server.

    Attributes:
        api: the server.
        environment: of all containers, besides their own.
        commands: of all pods so far.
    """

    api: ApiServer
    environment: Mapping[str, str] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)
    _running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    _evicted: set[str] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def evict(self, pod: str) -> None:
        """End a pod as a node that runs out of memory does."""
        self._evicted.add(pod)
        os.killpg(self._running[pod].pid, signal.SIGKILL)

    def pods(self) -> list[str]:
        """The pods that run."""
        return sorted(self._running)

    def _watch(self) -> None:
        while not self._stopped.wait(0.05):
            for resource in ("jobs", "trainjobs"):
                for name in self.api.names(resource):
                    self._begin(resource, name)
            for pod in self.pods():
                if pod not in self.api.names("pods"):  # deleted with its Job
                    self._kill(pod)

    def _begin(self, resource: str, name: str) -> None:
        try:
            found = self.api.object(resource, name)
        except KeyError:
            return
        if found["metadata"]["uid"] in self._seen:
            return
        self._seen.add(found["metadata"]["uid"])
        work = self._job if resource == "jobs" else self._train_job
        thread = threading.Thread(target=work, args=(name, found))
        self._threads.append(thread)
        thread.start()

    def _job(self, name: str, job: dict[str, Any]) -> None:
        template = job["spec"]["template"]
        labels = {**template.get("metadata", {}).get("labels", {}), "batch.kubernetes.io/job-name": name}
        container = template["spec"]["containers"][0]
        failed = 0
        while True:
            pod = f"{name}-{job['metadata']['uid'][:4]}{failed}"
            self._status("jobs", name, active=1, failed=failed, startTime=_now())
            status = self._run(pod, labels, container, {})
            if status == 0:
                done = {"type": "Complete", "status": "True", "lastTransitionTime": _now()}
                return self._status("jobs", name, active=0, succeeded=1, conditions=[done])
            if name not in self.api.names("jobs"):
                return None
            failed += 1
            if failed > job["spec"].get("backoffLimit", 6) or self._stopped.is_set():
                return self._status("jobs", name, active=0, failed=failed, conditions=[_failed()])

    def _train_job(self, name: str, job: dict[str, Any]) -> None:
        labels = {"jobset.sigs.k8s.io/jobset-name": name, "batch.kubernetes.io/job-completion-index": "0"}
        policy = {"PET_NNODES": "1", "PET_NPROC_PER_NODE": "2", "PET_NODE_RANK": "0"}
        policy |= {"PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(free_port())}
        self._status("trainjobs", name, jobsStatus=[{"name": "node", "active": 1}])
        status = self._run(f"{name}-node-0-0-abcde", labels, job["spec"]["trainer"], policy)
        ended = {
            "type": "Complete",
            "status": "True",
            "reason": "JobsCompleted",
            "lastTransitionTime": _now(),
        }
        self._status("trainjobs", name, conditions=[ended if status == 0 else _failed()])

    def _run(self, pod: str, labels: dict[str, str], container: dict[str, Any], more: dict[str, str]) -> int:
        command = [*container["command"], *container.get("args", ())]
        self.commands.append(command)
        self.api.put("pods", {"metadata": {"name": pod, "labels": labels}, "status": {"phase": "Pending"}})
        process = subprocess.Popen(
            [*PROGRAMS.get(command[0], [command[0]]), *command[1:]],
            env={
                **os.environ,
                **{each["name"]: each["value"] for each in container.get("env", ()) if "value" in each},
                **self.environment,
                **more,
            },
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._running[pod] = process
        self._status("pods", pod, phase="Running")
        with process:
            for line in process.stdout or ():
                self.api.write(pod, line)
        status = process.returncode
        del self._running[pod]
        if pod in self._evicted:
            told: dict[str, Any] = {"reason": "Evicted", "message": "The node was low on resource: memory."}
        else:
            code = 128 - status if status < 0 else status
            terminated = {"exitCode": code, "reason": "Error" if code else "Completed"}
            told = {"containerStatuses": [_container(terminated)]}
        self._status("pods", pod, phase="Failed" if status else "Succeeded", **told)
        return status

    def _status(self, resource: str, name: str, **status: Any) -> None:
        try:
            self.api.set_status(resource, name, **status)
        except KeyError:  # deleted meanwhile
            return

    def _kill(self, pod: str) -> None:
        process = self._running.get(pod)
        if process and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def _container(terminated: dict[str, Any]) -> dict[str, Any]:
    image = {"image": "copyist-training:0.1.0", "imageID": ""}
    return {"name": "step", "ready": False, "restartCount": 0, "state": {"terminated": terminated}, **image}


def _failed() -> dict[str, Any]:
    message = "Job has reached the specified backoff limit"
    return {
        "type": "Failed",
        "status": "True",
        "reason": "BackoffLimitExceeded",
        "message": message,
        "lastTransitionTime": _now(),
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def running(api: ApiServer, environment: Mapping[str, str] | None = None) -> Iterator[Kubelet]:
    """Run what is started, for as long as this lasts; what runs then is killed."""
    kubelet = Kubelet(api, environment or {})
    watching = threading.Thread(target=kubelet._watch)
    watching.start()
    try:
        yield kubelet
    finally:
        kubelet._stopped.set()
        watching.join()
        for pod in kubelet.pods():
            kubelet._kill(pod)
        for thread in kubelet._threads:
            thread.join()
