"""MLflow as the registry: versions by their published numbers, aliases by what serves, growing curves."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.registry.curves import Curves
from pipelines.registry.registry import CANDIDATE, CHAMPION, DIGEST_TAG, Registry
from pipelines.registry.retraining import open_run
from pipelines.training.curves import LOSSES, append_row
from services.runtime.release.manifest import ModelVersion
from services.runtime.release.steps import apply, promote, rollback, start_canary
from tests.pipelines.retraining.runs import Place


@pytest.fixture
def registry(place: Place) -> Registry:
    return Registry(place.environment["COPYIST_REGISTRY_URL"])


def published(place: Place, note: str) -> ModelVersion:
    folder = place.folder / "to-publish"
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(note.encode())
    (folder / "card.json").write_text("{}")
    return place.artefacts.publish("piano", folder, note)


def test_versions_have_the_numbers_under_which_they_are_published(place: Place, registry: Registry) -> None:
    published(place, "by hand")
    lost = published(place, "lost")
    (place.folder / "models" / "piano" / "versions" / f"{lost.number}.json").unlink()
    # A number that was taken once, and is none any more, as the one after it was published elsewhere.
    index = place.folder / "models" / "piano" / "versions" / "2.json"
    (index.with_name("4.json")).write_bytes(index.read_bytes().replace(b'"number":"2"', b'"number":"4"'))
    registry.register("piano", place.artefacts)
    registry.register("piano", place.artefacts)
    found = registry.versions("piano")
    assert [str(each.version) for each in found] == ["1", "2", "4"]
    digests = {str(each.version): each.tags[DIGEST_TAG] for each in found}
    assert digests == {each.number: each.digest for each in place.artefacts.versions("piano")}
    assert [each.description for each in found] == ["as shipped", "by hand", "by hand"]


def test_aliases_follow_what_serves(place: Place, registry: Registry) -> None:
    version, shipped = published(place, "new"), place.artefacts.shipped("piano")
    registry.register("piano", place.artefacts)

    def aliases() -> dict[str, str]:
        registry.follow("piano", place.board.read().models.get("piano"), shipped)
        return registry.aliases("piano")

    assert aliases() == {CHAMPION: "1"}
    apply(place.board, lambda m: start_canary(m, "piano", version, 0.05, shipped=shipped, by="a test"))
    assert aliases() == {CHAMPION: "1", CANDIDATE: "2"}
    apply(place.board, lambda m: promote(m, "piano", by="a test"))
    assert aliases() == {CHAMPION: "2"}
    apply(place.board, lambda m: rollback(m, "piano", history=place.board.history(), by="a test"))
    assert aliases() == {CHAMPION: "1"}


def test_a_run_is_recorded_once_with_its_curves(place: Place, tmp_path: Path) -> None:
    run = place.run()
    registry, mlflow_run = open_run(run)
    assert open_run(run)[1] == mlflow_run
    append_row(tmp_path / LOSSES, {"step": 1, "onset": 0.5})
    with Curves(registry, mlflow_run, tmp_path):
        append_row(tmp_path / LOSSES, {"step": 2, "onset": 0.25})
        # A row of which only the beginning is written is left for later.
        with (tmp_path / LOSSES).open("a") as file:
            file.write("3,0.1")
    found = registry.find_run(run.id)
    assert found is not None
    assert found.data.metrics["loss/onset"] == 0.25
    assert found.data.params["budget.steps"] == "4"
    assert found.data.tags["environment.packages"] == run.record.environment.packages
