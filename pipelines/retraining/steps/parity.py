"""Checks that ONNX Runtime answers as the framework does, on real inputs: `parity.json`."""

from __future__ import annotations

from pipelines.retraining.families import family
from pipelines.retraining.results import PARITY
from pipelines.retraining.run import write_json
from pipelines.retraining.step import Workplace, main
from services.runtime.release.index import MODEL_FILE


def run(work: Workplace) -> None:
    """Check.

    Raises:
        ValueError: they differ by more than is tolerated.
    """
    found = family(work.record.model).parity(
        work.read("build"), work.read("train"), work.read("export") / MODEL_FILE
    )
    write_json(work.folder / PARITY, dict(found))
    print("  ".join(f"{name}: {value:.3g}" for name, value in found.items()), flush=True)


if __name__ == "__main__":
    main("parity", run)
