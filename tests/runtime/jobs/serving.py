"""The audio service's real routes over real HTTP, with a real database and folder of files, and no model."""

from __future__ import annotations

import asyncio
import hashlib
import io
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import httpx
import sqlalchemy as sa
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Router

from services.amt.api import AudioApi
from services.errors import ModelUnavailableError
from services.runtime.database import connect
from services.runtime.door.gate import Gate
from services.runtime.door.principal import Scope
from services.runtime.files import FileStore, file_path
from services.runtime.http import Edge
from services.runtime.jobs.desk import JobDesk
from services.runtime.jobs.job import JobFile, JobState
from services.runtime.jobs.tables import JOBS, end_values
from services.runtime.settings import Settings

_FORMAT = {".mid": "midi", ".pdf": "pdf", ".svg": "svg"}


@dataclass
class NoModel:
    """The inside of a service whose model server is away."""

    settings: Settings

    async def check_ready(self) -> None:
        raise ModelUnavailableError("away")

    async def models(self) -> list[dict[str, Any]]:
        raise ModelUnavailableError("away")


@dataclass
class Served:
    """A running service, and a hand in its database in the place of a worker."""

    url: str
    settings: Settings
    desk: JobDesk
    loop: asyncio.AbstractEventLoop

    def submit(self, http: httpx.Client, name: str = "waltz.wav", content: bytes = b"sound") -> str:
        answer = http.post("/v1/jobs", files={"file": (name, content)})
        assert answer.status_code == 202, answer.text
        return cast(str, answer.json()["id"])

    def change(self, job_id: str, **values: Any) -> None:
        """Change a job as its worker would: every change is a new version."""
        database = connect(self.settings.database_url)
        with database.begin() as connection:
            connection.execute(
                sa.update(JOBS).where(JOBS.c.id == job_id).values(version=JOBS.c.version + 1, **values)
            )
        database.close()

    def finish(self, job_id: str, files: dict[str, bytes], media_type: str = "audio/midi") -> None:
        """Complete a job with these files."""
        store = FileStore(self.settings.files_url)
        told = []
        for name, content in files.items():
            digest = hashlib.sha256(content).hexdigest()
            store.write(file_path(job_id, digest), io.BytesIO(content))
            told.append(
                asdict(JobFile(name, _FORMAT.get(name[-4:], "answer"), media_type, len(content), digest))
            )
        ended = end_values(JobState.COMPLETED, self.settings)
        self.change(job_id, files=told, progress_percent=100, **ended)

    def jobs(self) -> list[str]:
        """The ids of all jobs that were accepted, the first one first."""
        answer = httpx.get(f"{self.url}/v1/jobs", timeout=60)
        return [] if answer.is_error else [job["id"] for job in answer.json()["jobs"]][::-1]

    def stored(self) -> list[str]:
        """Every file in the storage."""
        root = Path(self.settings.files_url)
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def settings_for(folder: Path, **changes: Any) -> Settings:
    """Settings of a service that keeps everything in a folder."""
    values: dict[str, Any] = {
        "database_url": f"sqlite:///{folder}/jobs.sqlite",
        "files_url": str(folder / "files"),
        "request_timeout_s": 60,
    }
    return Settings(**values | changes)


@contextmanager
def serving(settings: Settings, port: int = 0) -> Iterator[Served]:
    """Serve on a port of this machine (0: a free one), in a thread of its own."""
    api = AudioApi()
    loops: list[asyncio.AbstractEventLoop] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        api.backend = NoModel(settings)  # type: ignore[assignment]
        api.desk = JobDesk("amt", settings)
        api.desk.start()
        loops.append(asyncio.get_running_loop())
        yield
        await api.desk.close()

    gate = Gate(settings, Scope.AMT)
    app = Starlette(lifespan=lifespan)
    app.add_middleware(Edge, router=Router(api.routes()), service="amt", gate=gate)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=10))
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        port = listening.getsockname()[1]
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the server ended at its start"
                threading.Event().wait(0.01)
            assert api.desk is not None
            yield Served(f"http://127.0.0.1:{port}", settings, api.desk, loops[0])
        finally:
            if loops and api.desk is not None:  # as a service does once it is told to stop
                loops[0].call_soon_threadsafe(api.desk.end_streams)
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive(), "the server hangs"
