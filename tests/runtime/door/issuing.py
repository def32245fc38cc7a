"""A token issuer over HTTP: discovery, keys, and tokens of every kind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

AUDIENCE = "copyist"


@asynccontextmanager
async def served(app: ASGIApp, port: int) -> AsyncIterator[None]:
    """Serve an application over a real socket."""
    config = uvicorn.Config(app, port=port, log_config=None, ws="none", lifespan="off", server_header=False)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    serving = asyncio.create_task(server.main_loop())
    try:
        yield
    finally:
        server.should_exit = True
        await serving
        await server.shutdown()


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class LittleIssuer:
    """An issuer on a port of this machine; its keys change when the test says so."""

    port: int
    keys: dict[str, PrivateKeyTypes] = field(default_factory=dict)
    extra: list[Any] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    away: bool = False
    stated: dict[str, Any] = field(default_factory=dict)
    raw_keys: bytes | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token(self, kid: str, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """Sign a token that counts, unless the claims given say otherwise (None leaves one out)."""
        key = self.keys[kid]
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(self.claims(**claims), key, algorithm, {"kid": kid, **(headers or {})})

    def claims(self, **claims: Any) -> dict[str, Any]:
        now = int(time.time())
        stated = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "team-a",
            "scope": "amt omr",
            "iat": now,
            "nbf": now,
            "exp": now + 300,
            **claims,
        }
        return {name: value for name, value in stated.items() if value is not None}

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/keys", self._keys),
            ]
        )

    async def _discovery(self, request: Request) -> Response:
        self.calls.append("discovery")
        if self.away:
            return PlainTextResponse("away", 503)
        return JSONResponse({"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.stated})

    async def _keys(self, request: Request) -> Response:
        self.calls.append("keys")
        if self.raw_keys is not None:
            return Response(self.raw_keys)
        return JSONResponse({"keys": [*map(self.jwk, self.keys), *self.extra]})

    def jwk(self, kid: str) -> dict[str, Any]:
        key = self.keys[kid]
        if isinstance(key, rsa.RSAPrivateKey):
            public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            return {**public, "kid": kid, "use": "sig", "alg": "RS256"}
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}
