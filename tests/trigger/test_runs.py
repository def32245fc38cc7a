"""What Prometheus is told of retraining runs by their folders."""

from __future__ import annotations

import json
from pathlib import Path

from prometheus_client import CollectorRegistry

from services.trigger.runs import RunsCollector


def stands(folder: Path, name: str, **said: object) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "state.json").write_text(json.dumps(said))


def test_runs_are_told_by_state_and_those_under_way_by_step(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(RunsCollector(tmp_path / "runs"))
    assert (
        registry.get_sample_value("copyist_retraining_runs", {"model": "piano", "state": "running"}) is None
    )
    stands(tmp_path / "runs", "a", model="piano", state="running", step="train", run="a")
    stands(tmp_path / "runs", "b", model="piano", state="running", step="train", run="b")
    stands(tmp_path / "runs", "c", model="piano", state="rolled back", step="outcome", run="c")
    stands(tmp_path / "runs", "d", model="symbols", state="failed", step="build", run="d")
    told = {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
    }
    assert told == {
        ("copyist_retraining_runs", "piano", "running"): 2,
        ("copyist_retraining_runs", "piano", "rolled back"): 1,
        ("copyist_retraining_runs", "symbols", "failed"): 1,
        ("copyist_retraining_step", "piano", "train"): 2,
    }


def test_what_is_no_state_of_a_run_is_left_out(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(RunsCollector(tmp_path))
    stands(tmp_path, "a", model="piano", state="running")
    stands(tmp_path, "b", model="piano" * 10, state="running", step="train")
    stands(tmp_path, "c", model=["piano"], state="running", step="train")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "state.json").write_text('{"model": "pia')
    assert not [sample for family in registry.collect() for sample in family.samples]
