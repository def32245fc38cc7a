"""Exports the trained network as `model.onnx`."""

from __future__ import annotations

from pipelines.retraining.families import family
from pipelines.retraining.step import Workplace, main
from services.runtime.release.index import MODEL_FILE


def run(work: Workplace) -> None:
    """Export."""
    model = work.folder / MODEL_FILE
    family(work.record.model).export(work.read("train"), model)
    print(f"{model.stat().st_size / 2**20:.1f} MiB", flush=True)


if __name__ == "__main__":
    main("export", run)
