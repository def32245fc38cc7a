"""What MLflow keeps of the models: a run for each retraining, and a version for each that was published.

Runs are found by their own name, so that every step of a retraining may write to its run. Versions have the
numbers under which they are published; what was published or shipped without a retraining is registered as it
is found. `champion` is the version that serves, `candidate` the one on trial.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

with warnings.catch_warnings():
    # MLflow's tables use what SQLAlchemy is about to drop.
    warnings.simplefilter("ignore")
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, Run, RunTag
    from mlflow.exceptions import MlflowException

    import_module("mlflow.store.tracking.sqlalchemy_store")

from services.runtime.release.artefacts import Artefacts
from services.runtime.release.manifest import ModelRelease, ModelVersion

CHAMPION: Final = "champion"
CANDIDATE: Final = "candidate"
#: Tag of MLflow's runs that names ours.
RUN_TAG: Final = "copyist.run"
MODEL_TAG: Final = "copyist.model"
#: Tag of a version: its digest, as release manifests have it.
DIGEST_TAG: Final = "copyist.digest"
_EXPERIMENT: Final = "copyist"
_FINISHED: Final = "FINISHED"
#: Rows of a curve written at once, as many as MLflow takes.
_BATCH: Final = 500


class Registry:
    """MLflow, as Copyist uses it. Synchronous.

    Args:
        url: `sqlite:///FILE`, beside which the artefacts lie then, or a server's address.
    """

    def __init__(self, url: str) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        artefacts = None
        if url.startswith("sqlite:///"):
            file = Path(url.removeprefix("sqlite:///")).resolve()
            file.parent.mkdir(parents=True, exist_ok=True)
            url, artefacts = f"sqlite:///{file}", str(file.with_suffix("")) + "-artefacts"
        self._client = MlflowClient(url, url)
        self._artefacts = artefacts

    def run(self, run_id: str, model: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Open the record of a retraining; made where it is not there yet.

        Returns:
            MLflow's name of it.
        """
        known = self.find_run(run_id)
        if known is not None:
            return str(known.info.run_id)
        tags = {RUN_TAG: run_id, MODEL_TAG: model, **tags}
        run = self._client.create_run(self._experiment(), run_name=run_id, tags=tags)
        self._client.log_batch(run.info.run_id, params=[Param(k, str(v)[:500]) for k, v in params.items()])
        return str(run.info.run_id)

    def find_run(self, run_id: str) -> Run | None:
        """Find the record of a retraining."""
        found = self._client.search_runs(
            [self._experiment()], f"tags.`{RUN_TAG}` = '{run_id}'", max_results=1
        )
        return found[0] if found else None

    def log(
        self,
        mlflow_run: str,
        *,
        metrics: Iterable[tuple[str, float, int]] = (),
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write to a run: metrics (name, value, step), parameters and tags."""
        rows = [Metric(_named(name), float(value), 0, step) for name, value, step in metrics]
        for start in range(0, len(rows), _BATCH):
            self._client.log_batch(mlflow_run, metrics=rows[start : start + _BATCH])
        self._client.log_batch(
            mlflow_run,
            params=[Param(_named(name), str(value)[:500]) for name, value in (params or {}).items()],
            tags=[RunTag(name, str(value)[:5000]) for name, value in (tags or {}).items()],
        )

    def keep(self, mlflow_run: str, files: Iterable[Path], folder: str | None = None) -> None:
        """Copy files to a run's artefacts."""
        for path in files:
            self._client.log_artifact(mlflow_run, str(path), folder)

    def end(self, mlflow_run: str, *, failed: bool = False) -> None:
        """Tell that a run has ended."""
        self._client.set_terminated(mlflow_run, "FAILED" if failed else _FINISHED)

    def register(self, model: str, artefacts: Artefacts, made_by: Mapping[str, str] | None = None) -> None:
        """Register what is published of a model and not registered yet, the shipped version included.

        Args:
            model: its name.
            artefacts: where versions are published.
            made_by: MLflow's names of the runs that made versions, by the versions' numbers; a version that
                nobody's run made gets one that holds its card's figures.
        """
        name = registered(model)
        with suppress(MlflowException):  # it is there
            self._client.create_registered_model(name, description=f"Copyist's model `{model}`")
        known = {int(each.version) for each in self.versions(model)}
        for version in artefacts.versions(model):
            if int(version.number) in known:
                continue
            note = artefacts.index(model, version.number).note
            run = (made_by or {}).get(version.number) or self._run_of_unmade(model, version, note)
            made = 0
            while made < int(version.number):
                source, tags = f"copyist://{model}/{version.number}", {DIGEST_TAG: version.digest}
                found = self._client.create_model_version(name, source, run, tags, description=note)
                made = int(found.version)
                if made < int(version.number):  # MLflow counts on by itself: this number was never published
                    self._client.delete_model_version(name, found.version)

    def _run_of_unmade(self, model: str, version: ModelVersion, note: str) -> str:
        """A run for a version that no retraining made."""
        name = f"{model}-{version.number}-as-published"
        run = self.run(name, model, {}, {"reason": note, "version": version.number})
        self.end(run)
        return run

    def follow(self, model: str, release: ModelRelease | None, shipped: ModelVersion) -> None:
        """Point the aliases to what serves: `champion`, the stable version, and `candidate`, the canary."""
        self.set_alias(model, CHAMPION, (release.stable if release else shipped).number)
        if release is not None and release.canary is not None:
            self.set_alias(model, CANDIDATE, release.canary.version.number)
        elif CANDIDATE in self.aliases(model):
            self._client.delete_registered_model_alias(registered(model), CANDIDATE)

    def metrics_of(self, model: str, number: str) -> dict[str, float]:
        """The last value of every metric of the run that made a version."""
        version = next(each for each in self.versions(model) if str(each.version) == number)
        return dict(self._client.get_run(version.run_id).data.metrics) if version.run_id else {}

    def versions(self, model: str) -> list[Any]:
        """MLflow's records of a model's versions, oldest first."""
        found = self._client.search_model_versions(f"name = '{registered(model)}'")
        return sorted(found, key=lambda each: int(each.version))

    def set_alias(self, model: str, alias: str, number: str) -> None:
        """Point an alias to a version."""
        self._client.set_registered_model_alias(registered(model), alias, number)

    def aliases(self, model: str) -> dict[str, str]:
        """The numbers of versions by the aliases that point to them."""
        found = self._client.get_registered_model(registered(model)).aliases
        return {alias: str(number) for alias, number in found.items()}

    def _experiment(self) -> str:
        known = self._client.get_experiment_by_name(_EXPERIMENT)
        if known is not None:
            return str(known.experiment_id)
        try:
            return str(self._client.create_experiment(_EXPERIMENT, artifact_location=self._artefacts))
        except MlflowException:  # made by another process just now
            return str(self._client.get_experiment_by_name(_EXPERIMENT).experiment_id)


def registered(model: str) -> str:
    """The name under which a model is registered."""
    return f"copyist-{model}"


def _named(name: str) -> str:
    """A name that MLflow takes."""
    return "".join(letter if letter.isalnum() or letter in "_-. /" else "_" for letter in name)
