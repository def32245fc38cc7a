"""The audio service as BentoML serves it: `bentoml serve services.amt.service:AudioService`."""

from __future__ import annotations

from typing import Any, Final

import bentoml
from starlette.routing import Router

from services.amt.api import AudioApi
from services.amt.backend import Backend
from services.amt.grpc import AudioRecogniser
from services.runtime import logs
from services.runtime.door.gate import Gate
from services.runtime.door.principal import Scope
from services.runtime.http import Edge
from services.runtime.service import ServingProcess
from services.runtime.settings import Settings

SETTINGS: Final = Settings.from_environment()
# Now, as BentoML has just set up logs of its own, in this process or in the one that watches it.
logs.configure(SETTINGS, "amt")


class Audio(ServingProcess[Backend]):
    """Automatic music transcription over HTTP and gRPC."""

    settings = SETTINGS
    grpc_port = SETTINGS.amt_grpc_port
    workers = SETTINGS.amt_workers
    gate = Gate(SETTINGS, Scope.AMT)
    api = AudioApi()
    backend = Backend
    recogniser = AudioRecogniser


AudioService: Any = bentoml.service(name="amt", **Audio.bentoml_options())(Audio)
AudioService.add_asgi_middleware(Edge, router=Router(Audio.api.routes()), service="amt", gate=Audio.gate)
