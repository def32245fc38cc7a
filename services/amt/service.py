"""The audio service as BentoML serves it: `bentoml serve services.amt.service:AudioService`.

BentoML gives the processes, their supervision, the packaging and the life cycle. The HTTP API is our own
application in front of it: BentoML's endpoints fetch an upload's address where one is given, read a body
of any size, and answer errors in forms of their own. The gRPC API runs beside it, in the same event loop.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import bentoml
from starlette.routing import Router

from services.amt.api import AudioApi
from services.amt.backend import Backend
from services.amt.grpc import AudioRecogniser
from services.runtime.grpc import GrpcServer
from services.runtime.http import Edge
from services.runtime.settings import Settings

SETTINGS: Final = Settings.from_environment()
API: Final = AudioApi()
#: Longer than our own limit, which answers with a problem document.
_BENTOML_TIMEOUT_S: Final = SETTINGS.request_timeout_s + 60


class Audio:
    """Automatic music transcription over HTTP and gRPC."""

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def start(self) -> None:
        """Connect to the model server, open the gRPC port, and load what engraves."""
        logging.getLogger("copyist").setLevel(logging.INFO)
        backend = Backend(SETTINGS)
        self.grpc_server = GrpcServer(
            AudioRecogniser(backend),
            f"{SETTINGS.host}:{SETTINGS.amt_grpc_port}",
            max_upload_bytes=SETTINGS.max_upload_bytes,
            shares_port=SETTINGS.amt_workers > 1,
        )
        await self.grpc_server.start()
        self.warming = asyncio.create_task(backend.warm_up())
        API.backend = backend

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def stop(self) -> None:
        """Finish what runs, and let go of everything."""
        await self.grpc_server.stop(SETTINGS.drain_s)
        self.warming.cancel()
        if API.backend is not None:
            await API.backend.close()


AudioService: Any = bentoml.service(
    name="amt",
    workers=SETTINGS.amt_workers,
    traffic={"timeout": _BENTOML_TIMEOUT_S},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)(Audio)
AudioService.add_asgi_middleware(Edge, router=Router(API.routes()), service="amt")
