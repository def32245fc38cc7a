"""Puts the published version on trial, and waits for what becomes of it: `trial.json`.

The canary's steps to larger shares, promotion and rollback are `copyist release watch`'s, or a person's.
"""

from __future__ import annotations

import json
import time
from typing import Any, Final

from pipelines.retraining.errors import RetrainingError
from pipelines.retraining.results import TRIAL, VERSION
from pipelines.retraining.run import write_json
from pipelines.retraining.step import Workplace, artefacts, main
from services.runtime.release.board import ReleaseBoard, open_board
from services.runtime.release.manifest import Manifest, ModelVersion
from services.runtime.release.steps import apply, start_canary
from services.runtime.settings import Settings

#: The share of requests that a canary begins with.
_SHARE: Final = 0.05
_LOOK_S: Final = 1.0
#: A trial that has not ended after so long has nobody who decides it.
_PATIENCE_S: Final = 7 * 24 * 3600.0


def run(work: Workplace) -> None:
    """Start the canary, unless an interrupted attempt has, and wait.

    Raises:
        RetrainingError: nobody has decided within a week.
    """
    model = work.record.model
    board = open_board(Settings.from_environment().release_url)
    version = ModelVersion(**json.loads((work.read("publish") / VERSION).read_text("utf-8")))
    if not any(_on_trial(each, model, version) for each in board.history()):
        apply(board, lambda manifest: _begun(manifest, work, version))
    print(f"{model} {version.number} is on trial: waiting for what becomes of it", flush=True)
    end = time.monotonic() + _PATIENCE_S
    said = 0.0
    while (found := _decided(board, model, version)) is None:
        if time.monotonic() > end:
            raise RetrainingError(
                f"The trial of {model} {version.number} has not ended within a week.",
                remedy="Promote or roll it back, and see that `copyist release watch` runs.",
            )
        share = _share(board.read(), model)
        if share != said and share:
            print(f"{model} {version.number} answers {share:.0%} of the requests", flush=True)
            said = share
        time.sleep(_LOOK_S)
    write_json(work.folder / TRIAL, found)
    print(f"{model} {version.number} was {found['state']} {found['why']}", flush=True)


def _begun(manifest: Manifest, work: Workplace, version: ModelVersion) -> Manifest:
    return start_canary(
        manifest,
        work.record.model,
        version,
        share=_SHARE,
        automatic=True,
        by=f"run {work.run.id}",
        shipped=artefacts().shipped(work.record.model),
    )


def _share(manifest: Manifest, model: str) -> float:
    release = manifest.models.get(model)
    return release.canary.share if release is not None and release.canary is not None else 0.0


def _on_trial(manifest: Manifest, model: str, version: ModelVersion) -> bool:
    """Whether the version answers requests, as canary or as stable."""
    release = manifest.models.get(model)
    roles = release.roles() if release is not None else ()
    return any(each == version for _, each, _ in roles)


def _decided(board: ReleaseBoard, model: str, version: ModelVersion) -> dict[str, Any] | None:
    """What became of the version; None while it is on trial."""
    manifest = board.read()
    release = manifest.models.get(model)
    if release is not None and release.stable == version:
        return {"state": "promoted", "why": manifest.change.why}
    if release is not None and release.canary is not None and release.canary.version == version:
        return None
    # Others may have released something since: the reason stands in the first manifest without it.
    why = ""
    for earlier in board.history():
        if _on_trial(earlier, model, version):
            break
        why = earlier.change.why
    return {"state": "rolled back", "why": why}


if __name__ == "__main__":
    main("canary", run)
