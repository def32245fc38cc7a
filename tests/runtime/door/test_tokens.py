"""Tokens of an issuer: which count, and what is asked of the issuer."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.errors import IssuerUnavailableError
from services.runtime.door.issuer import (
    FRESH_S,
    KEPT_S,
    PAUSE_S,
    Issuer,
    IssuerUrlError,
)
from services.runtime.door.principal import Principal, Scope
from services.runtime.door.tokens import TokenCheck
from tests.runtime.door.issuing import AUDIENCE, LittleIssuer, ec_key, rsa_key, served
from tests.runtime.door.test_keyring import Clock

RSA = rsa_key()
STRANGER = rsa_key()


@pytest.fixture
async def issuing(unused_tcp_port: int) -> AsyncIterator[LittleIssuer]:
    issuing = LittleIssuer(unused_tcp_port, {"one": RSA})
    async with served(issuing.app(), unused_tcp_port):
        yield issuing


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def check(issuing: LittleIssuer, clock: Clock) -> AsyncIterator[TokenCheck]:
    issuer = Issuer(issuing.url, clock)
    yield TokenCheck(issuer, AUDIENCE, "sub")
    await issuer.close()


async def test_a_token_speaks_for_its_owner(issuing: LittleIssuer, check: TokenCheck) -> None:
    issuing.keys["two"] = ec_key()
    for kid in issuing.keys:
        caller = await check.principal(issuing.token(kid))
        assert caller == Principal("team-a", frozenset(Scope), "token")
    assert issuing.calls == ["discovery", "keys"]


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "openid amt"}, {Scope.AMT}),
        ({"scope": None, "scp": ["omr", "profile", 3]}, {Scope.OMR}),
        ({"scope": None, "scp": "omr amt"}, {Scope.OMR, Scope.AMT}),
        ({"scope": None}, set()),
        ({"scope": "amtomr AMT"}, set()),
        ({"scope": {"amt": True}}, set()),
    ],
)
async def test_scopes_are_what_the_token_says(
    issuing: LittleIssuer, check: TokenCheck, claims: dict[str, Any], scopes: set[Scope]
) -> None:
    caller = await check.principal(issuing.token("one", **claims))
    assert caller is not None
    assert caller.scopes == scopes


@dataclass(frozen=True)
class Ago:
    """A moment before the test runs, which may be long after it was collected."""

    seconds: float


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": None},
        {"aud": []},
        {"iss": "http://127.0.0.1:1"},
        {"iss": None},
        {"exp": None},
        {"exp": Ago(60)},
        {"nbf": Ago(-600)},
        {"iat": Ago(-600)},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\nb"},
        {"sub": "a\u202eb"},
        {"sub": "x" * 201},
        {"sub": 7},
    ],
)
async def test_tokens_that_do_not_count(
    issuing: LittleIssuer, check: TokenCheck, claims: dict[str, Any]
) -> None:
    key = issuing.keys["one"]
    assert isinstance(key, rsa.RSAPrivateKey)
    now = time.time()
    told = {name: now - value.seconds if isinstance(value, Ago) else value for name, value in claims.items()}
    payload = json.dumps(issuing.claims(**told)).encode()
    token = jwt.PyJWS().encode(payload, key, "RS256", {"kid": "one"})
    assert await check.principal(token) is None
    assert await check.principal(issuing.token("one")) is not None


async def test_clocks_may_differ_a_little(issuing: LittleIssuer, check: TokenCheck) -> None:
    now = int(time.time())
    assert await check.principal(issuing.token("one", exp=now - 10, nbf=now + 10, iat=now + 10))


async def test_another_claim_may_name_the_owner(issuing: LittleIssuer) -> None:
    issuer = Issuer(issuing.url)
    check = TokenCheck(issuer, AUDIENCE, "tenant")
    caller = await check.principal(issuing.token("one", tenant="school-7"))
    assert caller is not None
    assert caller.owner == "school-7"
    assert await check.principal(issuing.token("one")) is None
    await issuer.close()


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_forgeries_do_not_count(issuing: LittleIssuer, check: TokenCheck) -> None:
    good = issuing.token("one")
    assert await check.principal(good) is not None
    header, payload, signature = good.split(".")
    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    shared = jwt.PyJWS().encode(json.dumps(issuing.claims()).encode(), "x" * 64, "HS256", {"kid": "one"})
    richer = _part({**issuing.claims(), "sub": "team-b"})
    stranger = jwt.encode(issuing.claims(), STRANGER, "RS256", {"kid": "one"})
    own_key = {"kid": "one", "jwk": jwt.algorithms.RSAAlgorithm.to_jwk(STRANGER.public_key(), as_dict=True)}
    forgeries = [
        jwt.encode(issuing.claims(), None, "none", {"kid": "one"}),
        f"{_part({'alg': 'none', 'kid': 'one'})}.{payload}.",
        f"{_part({'alg': 'None', 'kid': 'one'})}.{payload}.{signature}",
        _signed_with_public_key(public, issuing.claims()),
        shared,
        f"{header}.{richer}.{signature}",
        f"{header}.{payload}.",
        stranger,
        jwt.encode(issuing.claims(), STRANGER, "RS256", own_key),
        f"{_part({'alg': 'RS256', 'kid': 'one', 'crit': ['b64'], 'b64': False})}.{payload}.{signature}",
        f"{_part({'alg': 'PS256', 'kid': 'one'})}.{payload}.{signature}",
        f"{_part({'alg': 'RS256', 'kid': ['one']})}.{payload}.{signature}",
        f"{_part({'alg': ['RS256'], 'kid': 'one'})}.{payload}.{signature}",
        base64.urlsafe_b64encode(b"[" * 5000).decode() + f".{payload}.{signature}",
        "a.b.c",
        "...",
        "x",
    ]
    for forgery in forgeries:
        assert await check.principal(forgery) is None, forgery


def _signed_with_public_key(public: bytes, claims: dict[str, Any]) -> str:
    """What a library would take that lets the token choose how it is checked."""
    signed = f"{_part({'alg': 'HS256', 'kid': 'one'})}.{_part(claims)}"
    signature = hmac.digest(public, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


async def test_shared_secrets_among_the_issuers_keys_are_passed_over(
    issuing: LittleIssuer, check: TokenCheck
) -> None:
    secret = b"s" * 64
    issuing.extra = [
        {"kty": "oct", "kid": "shared", "alg": "HS256", "k": base64.urlsafe_b64encode(secret).decode()},
        {**issuing.jwk("one"), "kid": "encrypting", "use": "enc"},
        {"kty": "unheard-of", "kid": "odd"},
        "no object",
    ]
    assert await check.principal(issuing.token("one")) is not None
    claims = issuing.claims()
    assert await check.principal(jwt.encode(claims, secret, "HS256", {"kid": "shared"})) is None
    assert await check.principal(jwt.encode(claims, RSA, "RS256", {"kid": "encrypting"})) is None


async def test_a_token_without_a_key_id_counts_where_there_is_one_key(
    issuing: LittleIssuer, check: TokenCheck, clock: Clock
) -> None:
    token = jwt.encode(issuing.claims(), RSA, "RS256")
    assert await check.principal(token) is not None
    issuing.keys["two"] = rsa_key()
    clock.now += PAUSE_S
    assert await check.principal(issuing.token("two")) is not None
    assert await check.principal(token) is None


async def test_a_new_key_is_fetched_when_a_token_names_it(
    issuing: LittleIssuer, check: TokenCheck, clock: Clock
) -> None:
    old = issuing.token("one")
    assert await check.principal(old) is not None
    issuing.keys["two"] = rsa_key()
    clock.now += PAUSE_S
    assert await check.principal(issuing.token("two")) is not None
    assert await check.principal(old) is not None
    assert issuing.calls == ["discovery", "keys"] * 2


async def test_unknown_keys_ask_the_issuer_seldom(
    issuing: LittleIssuer, check: TokenCheck, clock: Clock
) -> None:
    for number in range(50):
        token = jwt.encode(issuing.claims(), STRANGER, "RS256", {"kid": f"unknown-{number}"})
        assert await check.principal(token) is None
        clock.now += PAUSE_S / 20
    assert issuing.calls.count("keys") <= 3


async def _fetched(check: TokenCheck) -> None:
    """Wait for what is fetched beside the requests."""
    if (fetching := check._issuer._fetching) is not None:
        await asyncio.wait((fetching,))


async def test_a_key_that_the_issuer_drops_counts_no_more(
    issuing: LittleIssuer, check: TokenCheck, clock: Clock
) -> None:
    issuing.keys["two"] = rsa_key()
    dropped = issuing.token("one")
    assert await check.principal(dropped) is not None
    del issuing.keys["one"]
    clock.now += FRESH_S
    assert await check.principal(dropped) is not None  # the keys are fetched beside the request
    await _fetched(check)
    assert await check.principal(issuing.token("two")) is not None
    assert await check.principal(dropped) is None


async def test_known_keys_outlive_the_issuer_for_a_day(
    issuing: LittleIssuer, check: TokenCheck, clock: Clock
) -> None:
    token = issuing.token("one")
    assert await check.principal(token) is not None
    issuing.away = True
    clock.now += KEPT_S - 1
    assert await check.principal(token) is not None
    await _fetched(check)
    clock.now += PAUSE_S
    with pytest.raises(IssuerUnavailableError):
        await check.principal(token)
    issuing.away = False
    with pytest.raises(IssuerUnavailableError):
        await check.principal(token)  # not asked again so soon
    clock.now += PAUSE_S
    assert await check.principal(token) is not None


async def test_an_issuer_that_does_not_answer_is_no_fault_of_the_token(unused_tcp_port: int) -> None:
    issuing = LittleIssuer(unused_tcp_port, {"one": RSA})
    issuer = Issuer(issuing.url)
    with pytest.raises(IssuerUnavailableError):
        await TokenCheck(issuer, AUDIENCE, "sub").principal(issuing.token("one"))
    await issuer.close()


@pytest.mark.parametrize(
    ("stated", "raw_keys"),
    [
        ({"issuer": "http://another"}, None),
        ({"jwks_uri": "http://example.org/keys"}, None),
        ({"jwks_uri": "file:///etc/passwd"}, None),
        ({"jwks_uri": None}, None),
        ({}, b"no json"),
        ({}, b"[]"),
        ({}, b"{}"),
        ({}, b"{" + b" " * (1 << 20) + b"}"),
    ],
)
async def test_an_odd_issuer_gives_no_keys(
    issuing: LittleIssuer, check: TokenCheck, stated: dict[str, Any], raw_keys: bytes | None
) -> None:
    issuing.stated, issuing.raw_keys = stated, raw_keys
    with pytest.raises(IssuerUnavailableError):
        await check.principal(issuing.token("one"))


@pytest.mark.parametrize(
    "url", ["http://issuer.example.org", "ftp://127.0.0.1", "issuer.example.org", "https://"]
)
def test_issuers_must_be_https(url: str) -> None:
    with pytest.raises(IssuerUrlError, match="COPYIST_OIDC_ISSUER"):
        Issuer(url)
