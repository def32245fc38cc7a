"""The models that a local Triton starts with."""

from __future__ import annotations

from services.local.options import StackOptions
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import open_board
from services.sync.filling import fill
from services.sync.folder import ModelFolder
from services.triton.server import servable_models


def fill_models(options: StackOptions) -> None:
    """Put into `served_models` what the release manifest names as stable.

    Raises:
        CopyistError: for a model there is nothing that could serve, or the manifest cannot be read.
    """
    artefacts = Artefacts(options.models_url, options.model_repository)
    shipped = {model: artefacts.shipped(model) for model in servable_models(options.model_repository)}
    # The local Triton computes on CPUs: there are no engines to build.
    folder = ModelFolder(options.served_models, options.model_repository, warm_up=False)
    with folder.kept():
        fill(folder, artefacts, shipped, open_board(options.release_url).read())
