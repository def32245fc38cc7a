"""The page service as BentoML serves it: `bentoml serve services.omr.service:PageService`."""

from __future__ import annotations

from typing import Any, Final

import bentoml
from starlette.routing import Router

from services.omr.api import PageApi
from services.omr.backend import Backend
from services.omr.grpc import PageRecogniser
from services.runtime import logs
from services.runtime.door.gate import Gate
from services.runtime.door.principal import Scope
from services.runtime.http import Edge
from services.runtime.service import ServingProcess
from services.runtime.settings import Settings

SETTINGS: Final = Settings.from_environment()
# Now, as BentoML has just set up logs of its own, in this process or in the one that watches it.
logs.configure(SETTINGS, "omr")


class Pages(ServingProcess[Backend]):
    """Optical music recognition over HTTP and gRPC."""

    settings = SETTINGS
    grpc_port = SETTINGS.omr_grpc_port
    workers = SETTINGS.omr_workers
    gate = Gate(SETTINGS, Scope.OMR)
    api = PageApi()
    backend = Backend
    recogniser = PageRecogniser


PageService: Any = bentoml.service(name="omr", **Pages.bentoml_options())(Pages)
PageService.add_asgi_middleware(Edge, router=Router(Pages.api.routes()), service="omr", gate=Pages.gate)
