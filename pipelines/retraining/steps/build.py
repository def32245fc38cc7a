"""Makes the data to learn from and to validate on out of what was collected."""

from __future__ import annotations

from pipelines.retraining.families import family
from pipelines.retraining.step import Workplace, main


def run(work: Workplace) -> None:
    """Build."""
    family(work.record.model).build(work.read("collect"), work.record, work.folder)


if __name__ == "__main__":
    main("build", run)
