"""The agent as a process: follows the manifest, takes rounds, and tells how it is."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path
from typing import Final

from services.errors import CopyistError, TryAgainError
from services.runtime import logs
from services.runtime.endpoints import Endpoints
from services.runtime.release import metrics as release_metrics
from services.runtime.release.artefacts import Artefacts
from services.runtime.release.board import open_board
from services.runtime.release.manifest import Manifest
from services.runtime.settings import Settings
from services.runtime.stopping import told_to_stop
from services.sync import metrics
from services.sync.agent import Agent
from services.sync.filling import fill
from services.sync.folder import ModelFolder
from services.sync.leaving import Leaving
from services.sync.server import TritonServer
from services.triton.server import servable_models

log = logging.getLogger("copyist.sync")

#: Seconds between two looks at Triton.
_LOOK_S: Final = 1.0
#: Seconds that a round under way gets to end when the process is told to.
_ENDING_S: Final = 5.0


class SyncBehindError(TryAgainError):
    """Triton does not serve yet what the manifest names."""

    slug = "sync-behind"
    title = "Triton does not match the release manifest yet"


class SyncStoppedError(CopyistError):
    """The thread that does the work has ended."""

    slug = "sync-stopped"
    title = "The model sync has stopped"
    status = 503


def run_sync(settings: Settings, root: Path) -> None:
    """Make Triton match the manifest until the process is told to end (SIGTERM or SIGINT).

    Args:
        settings: as the operator has them; `triton_url` names the Triton to be looked after.
        root: the folder that it is given as its model repository.

    Raises:
        FolderTakenError: another agent keeps the folder.
        OSError: the port is taken.
    """
    logs.configure(settings, "sync")
    folder = ModelFolder(root, settings.model_repository, warm_up=settings.warm_up)
    with folder.kept():
        asyncio.run(_Sync(settings, folder).run())


class _Sync:
    """Two threads, one that follows the manifest and one that takes rounds, beside a loop for health."""

    def __init__(self, settings: Settings, folder: ModelFolder) -> None:
        self._settings = settings
        self._folder = folder
        self._artefacts = Artefacts(settings.models_url, settings.model_repository)
        models = servable_models(settings.model_repository)
        self._shipped = {model: self._artefacts.shipped(model) for model in models}
        server = TritonServer(settings.triton_url)
        self._agent = Agent(folder, self._artefacts, server, self._shipped, Leaving())
        self._board = open_board(settings.release_url)
        self._stopped = threading.Event()
        self._news = threading.Event()
        self._latest: tuple[Manifest, float] | None = None
        self._in_force: Manifest | None = None
        self._problem = "The release manifest has not been read yet."
        self._working = threading.Thread(target=self._work, name="rounds", daemon=True)
        self._following = threading.Thread(target=self._follow, name="follows", daemon=True)

    async def run(self) -> None:
        told_to_end = told_to_stop()
        endpoints = Endpoints(
            self._settings.host, self._settings.sync_port, self._check_alive, self._check_ready
        )
        await endpoints.start()
        self._following.start()
        self._working.start()
        try:
            await told_to_end.wait()
        finally:
            self._stopped.set()
            self._news.set()
            await asyncio.to_thread(self._working.join, _ENDING_S)
            await endpoints.stop()

    def _follow(self) -> None:
        for manifest in self._board.follow(self._stopped):
            self._latest = manifest, time.monotonic()
            release_metrics.REVISION.set(manifest.revision)
            self._news.set()

    def _work(self) -> None:
        while not self._stopped.is_set():
            self._news.wait(_LOOK_S)
            self._news.clear()
            if self._latest is None or self._stopped.is_set():
                continue
            manifest, seen_at = self._latest
            try:
                done = self._round(manifest)
            except CopyistError as error:
                self._complain(str(error))
                continue
            except Exception:
                log.exception("a round failed")
                self._problem = "A round failed in a way that was not foreseen; see the log."
                continue
            self._complain(self._agent.missing(manifest))
            if done and manifest != self._in_force:
                self._in_force = manifest
                metrics.REVISION.set(manifest.revision)
                metrics.SECONDS.observe(time.monotonic() - seen_at)
                log.info("revision %d is in force: %s", manifest.revision, manifest.change.what)

    def _round(self, manifest: Manifest) -> bool:
        if not self._folder.synchronised:
            fill(self._folder, self._artefacts, self._shipped, manifest)
        return self._agent.round(manifest)

    def _complain(self, problem: str) -> None:
        """Tell in the log, once, why Triton does not match."""
        if problem and problem != self._problem:
            # At first it is waited for; later it is away.
            log.log(logging.WARNING if self._in_force else logging.INFO, "%s", problem)
        self._problem = problem

    def _check_alive(self) -> None:
        for thread in (self._working, self._following):
            if thread.ident is not None and not thread.is_alive():
                raise SyncStoppedError(f"The thread {thread.name!r} has ended.")

    async def _check_ready(self) -> None:
        if self._problem:
            raise SyncBehindError(self._problem)
