"""The Jobs that the steps of a run are: the chart's manifests, filled in for a step."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from pipelines.retraining.errors import RetrainingError
from pipelines.retraining.plan import Needs, Step
from pipelines.retraining.run import Run
from services.cluster.jobs import JOB, TRAIN_JOB, JobKind

#: Labels of all Jobs of a run, and of their pods.
RUN, STEP, MODEL = "copyist.io/run", "copyist.io/step", "copyist.io/model"
#: Longest name: Kubeflow's JobSets append up to 15 characters to it for their pods.
_LONGEST_NAME: Final = 48
_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
#: Where the chart tells the pod that leads a run which Job it is of.
_OWNER: Final = ("COPYIST_RETRAIN_JOB_NAME", "COPYIST_RETRAIN_JOB_UID")


class BadManifestError(RetrainingError):
    """A manifest of the Jobs of steps cannot be used."""

    slug = "bad-step-manifest"
    title = "The manifest of a step's Job cannot be used"


@dataclass(frozen=True, slots=True)
class StepJob:
    """What a step is run as.

    Attributes:
        kind: of the object.
        name: of the object; always the same for the same step of the same run.
        manifest: whole.
    """

    kind: JobKind
    name: str
    manifest: Mapping[str, Any]


class StepManifests:
    """The manifests of a folder: `cpu.yaml`, and `gpu.yaml` for what a GPU makes much faster.

    Each is a Job with one container, or a TrainJob of Kubeflow's, as the chart writes them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def kinds(self) -> frozenset[JobKind]:
        """The kinds of all manifests."""
        return frozenset(self._read(name)[1] for name in ("cpu", "gpu"))

    def of(self, step: Step, run: Run) -> StepJob:
        """The Job of a step.

        Raises:
            BadManifestError: its manifest is not there, or is none.
        """
        manifest, kind = self._read("gpu" if step.needs is Needs.GPU else "cpu")
        labels = {RUN: label(run.id), STEP: step.name, MODEL: run.record.model}
        metadata = manifest.setdefault("metadata", {})
        metadata["name"] = name_of(step, run)
        metadata["labels"] = {**metadata.get("labels", {}), **labels}
        if owner := _owner():
            metadata["ownerReferences"] = [owner]
        module = ["-m", step.module, str(run.folder)]
        if kind is TRAIN_JOB:
            # How many nodes and GPUs, and where to meet, Kubeflow tells torch's launcher by the environment.
            manifest["spec"].setdefault("trainer", {})["command"] = ["torchrun", *module]
        else:
            template = manifest["spec"]["template"]
            pod = template.setdefault("metadata", {})
            pod["labels"] = {**pod.get("labels", {}), **labels}
            container = template["spec"]["containers"][0]
            gpus = _gpus(container) if step.needs is Needs.GPU else 0
            launcher = ["torchrun", "--standalone", f"--nproc-per-node={gpus}"] if gpus > 1 else ["python"]
            container["command"] = [*launcher, *module]
        return StepJob(kind, metadata["name"], manifest)

    def _read(self, name: str) -> tuple[dict[str, Any], JobKind]:
        path = self._folder / f"{name}.yaml"
        try:
            manifest = yaml.safe_load(path.read_text("utf-8"))
            kinds = {f"{kind.group}/{kind.version} {kind.kind}": kind for kind in (JOB, TRAIN_JOB)}
            return manifest, kinds[f"{manifest['apiVersion']} {manifest['kind']}"]
        except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
            raise BadManifestError(
                f"{path} is no manifest of a Job or TrainJob ({type(error).__name__}: {error}).",
                remedy="COPYIST_RETRAIN_JOBS must name a folder with cpu.yaml and gpu.yaml, as the chart"
                " writes them.",
            ) from error


def name_of(step: Step, run: Run) -> str:
    """The name of a step's Job: that of the run and of the step, shortened where it would be too long."""
    name = f"retrain-{run.id}-{step.name}"
    if len(name) <= _LONGEST_NAME and _NAME.fullmatch(name):
        return name
    return f"retrain-{hashlib.sha256(run.id.encode()).hexdigest()[:16]}-{step.name}"


def label(run_id: str) -> str:
    """A run's name as the value of a label, which has at most 63 characters."""
    return run_id if len(run_id) <= 63 else hashlib.sha256(run_id.encode()).hexdigest()[:63]


def _gpus(container: Mapping[str, Any]) -> int:
    limits: Iterable[tuple[str, Any]] = container.get("resources", {}).get("limits", {}).items()
    return sum(int(count) for resource, count in limits if resource.endswith("/gpu"))


def _owner() -> dict[str, Any] | None:
    """The Job whose pod this is: what it started goes with it."""
    name, uid = (os.environ.get(variable, "") for variable in _OWNER)
    if not (name and uid):
        return None
    return {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}
