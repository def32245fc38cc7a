"""Releases on a real stack: new versions published, and waiting until it goes by them."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from services.local.options import StackOptions
from services.local.stack import LocalStack
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import open_board
from services.runtime.release.index import CARD_FILE, MODEL_FILE
from services.runtime.release.manifest import ModelVersion
from tests.exposition import exposed, values
from tests.spoiled_models import Maker
from tests.waiting import PATIENCE_S, wait_for


def publish_made(options: StackOptions, model: str, make: Maker) -> ModelVersion:
    """Publish what a maker makes of a model's shipped version, with that one's card; the note is its name."""
    artefacts = Artefacts(options.models_url, options.model_repository)
    shipped = options.model_repository / model
    with TemporaryDirectory(prefix="copyist-made-") as temporary:
        made = Path(temporary)
        make(shipped / artefacts.shipped(model).number / MODEL_FILE, made / MODEL_FILE)
        shutil.copyfile(shipped / CARD_FILE, made / CARD_FILE)
        return artefacts.publish(model, made, make.__name__)


def wait_until_in_force(stack: LocalStack, limit_s: float = PATIENCE_S) -> None:
    """Wait until both services go by the manifest that is kept now."""
    revision = open_board(stack.options.release_url).read().revision
    wait_for(lambda: {_revision(stack.http_url), _revision(stack.omr_http_url)} == {revision}, limit_s)


def _revision(url: str) -> int:
    return int(sum(values(exposed(url), "copyist_release_revision")))
