"""What MLflow keeps of the models: a run for each retraining, and a version for each that was published.

Runs are found by their own name, so that every step of a retraining may write to its run. Versions have the
numbers under which they are published; what was published or shipped without a retraining is registered as it
is found. `champion` is the version that serves, `candidate` the one on trial.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping
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

    def register(self, model: str, artefacts: Artefacts, mlflow_run: Mapping[str, str] | None = None) -> None:
        """Register what is published of a model and not registered yet, the shipped version included.

        Args:
            model: its name.
            artefacts: where versions are published.
            mlflow_run: the runs that made versions, by the versions' numbers.
        """
        name = registered(model)
        try:
            self._client.get_registered_model(name)
        except MlflowException:
            self._client.create_registered_model(name, description=f"Copyist's model `{model}`")
        known = {int(each.version) for each in self.versions(model)}
        for version in artefacts.versions(model):
            index = artefacts.index(model, version.number)
            while int(version.number) not in known:
                run = (mlflow_run or {}).get(version.number)
                made = self._client.create_model_version(
                    name,
                    source=f"copyist://{model}/{version.number}",
                    run_id=run,
                    tags={DIGEST_TAG: version.digest},
                    description=index.note,
                )
                known.add(int(made.version))
                if int(made.version) < int(version.number):
                    # A number that was never published, or is no longer there.
                    self._client.delete_model_version(name, made.version)

    def versions(self, model: str) -> list[Any]:
        """MLflow's records of a model's versions, oldest first."""
        found = self._client.search_model_versions(f"name = '{registered(model)}'")
        return sorted(found, key=lambda each: int(each.version))

    def set_alias(self, model: str, alias: str, number: str) -> None:
        """Point an alias to a version."""
        self._client.set_registered_model_alias(registered(model), alias, number)

    def drop_alias(self, model: str, alias: str) -> None:
        """Take an alias away, if it is there."""
        if alias in self.aliases(model):
            self._client.delete_registered_model_alias(registered(model), alias)

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
