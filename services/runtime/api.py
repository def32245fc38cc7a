"""What the HTTP APIs of all services have in common: jobs, health, models, metrics, documentation."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from services.errors import ModelUnavailableError
from services.runtime import docs, metrics
from services.runtime.jobs.api import JobApi
from services.runtime.jobs.desk import JobDesk
from services.runtime.jobs.intake import JobKind
from services.runtime.settings import Settings


class ApiBackend(Protocol):
    """What the API needs of a service's inside."""

    settings: Settings

    async def check_ready(self) -> None:
        """Raise ModelUnavailableError unless the service could do its work now."""
        ...

    async def models(self) -> list[dict[str, Any]]:
        """Describe the models, an entry for each version that is ready."""
        ...


B = TypeVar("B", bound=ApiBackend)


class ServiceApi(Generic[B]):
    """The routes of one serving process; they work once `backend` and `desk` are set.

    Subclasses add what their service does.
    """

    #: What the API is called in its documentation.
    title: str
    #: What it takes as a job.
    jobs: JobKind

    def __init__(self) -> None:
        self.backend: B | None = None
        self.desk: JobDesk | None = None

    def specification(self, settings: Settings) -> dict[str, Any]:
        """Write the OpenAPI description with the limits that hold here."""
        raise NotImplementedError

    def working(self) -> B:
        """Give the backend once the service has started.

        Raises:
            ModelUnavailableError: it has not.
        """
        if self.backend is None:
            raise _starting()
        return self.backend

    def working_desk(self) -> JobDesk:
        """Give the desk of jobs once the service has started.

        Raises:
            ModelUnavailableError: it has not.
        """
        if self.desk is None:
            raise _starting()
        return self.desk

    def routes(self) -> list[BaseRoute]:
        """List all routes."""
        return [
            *JobApi(self.jobs, self.working_desk).routes(),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/livez", self.livez, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
            Route(docs.PAGE_PATH, self.docs, methods=["GET"]),
            Route("/docs/openapi.json", self.openapi, methods=["GET"]),
            Mount(docs.ASSETS_PATH, docs.assets()),
        ]

    async def models(self, request: Request) -> Response:
        """List the models."""
        return JSONResponse({"models": await self.working().models()})

    async def livez(self, request: Request) -> Response:
        """Tell that the process answers."""
        return PlainTextResponse("alive\n")

    async def readyz(self, request: Request) -> Response:
        """Tell whether the service could do its work now."""
        await self.working().check_ready()
        return PlainTextResponse("ready\n")

    async def metrics(self, request: Request) -> Response:
        """Tell the metrics to Prometheus."""
        text = await asyncio.to_thread(metrics.exposition)
        return Response(text, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def docs(self, request: Request) -> Response:
        """Show the API's documentation."""
        return HTMLResponse(docs.page(self.title))

    async def openapi(self, request: Request) -> Response:
        """Give the API's OpenAPI description."""
        return JSONResponse(self.specification(self.working().settings))


def _starting() -> ModelUnavailableError:
    return ModelUnavailableError("The service is starting.", remedy="Try again in a moment.")
