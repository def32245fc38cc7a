"""What a Triton needs to start with, put into its folder before it does."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from services.errors import CopyistError
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.manifest import Manifest, ModelVersion
from services.sync.folder import ModelFolder
from services.sync.wanted import wanted

log = logging.getLogger("copyist.sync")


def fill(
    folder: ModelFolder, artefacts: Artefacts, shipped: Mapping[str, ModelVersion], manifest: Manifest
) -> None:
    """Put the stable version of each model into a folder, and mark it as synchronised.

    Where one cannot be had, what the folder has been started with before is started with again.

    Args:
        folder: which no running Triton uses.
        artefacts: where versions come from.
        shipped: the versions that came with Copyist, by model.
        manifest: the one in force.

    Raises:
        CopyistError: for a model there is nothing that could serve.
    """
    folder.set_synchronised(False)
    for model, serving in wanted(manifest, shipped).items():
        stable = serving.stable
        try:
            if folder.version(model, stable.number) != stable:
                folder.place(model, stable, artefacts)
            folder.name(model, {stable.number})
        except CopyistError as error:
            kept = {number for number in folder.named(model) if folder.version(model, number)}
            if not kept:
                raise
            log.warning("%s starts with version %s: %s", model, ", ".join(sorted(kept)), error)
            folder.name(model, kept)
    folder.set_synchronised(True)
