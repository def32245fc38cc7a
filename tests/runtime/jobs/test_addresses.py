"""Where webhooks may lead: public addresses alone, and none that changes after it was looked at."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.runtime.jobs import addresses
from services.runtime.jobs.addresses import PublicNetwork, WebhookRefusedError, check_webhook_url, is_public

PUBLIC = ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:8.8.8.8", "64:ff9b::808:808")
NOT_PUBLIC = (
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "fec0::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    *("2002:7f00:1::", "2002:a9fe:a9fe::", "2001:0:7f00:1::", "64:ff9b:1::1"),
)


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str]) -> None:
    """Let each name lead to these addresses, one answer after the other; the last one stays."""
    left = list(answers)

    def getaddrinfo(host: str, port: int, *args: Any, **named: Any) -> list[Any]:
        found = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_called(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_no_other_address_is_called(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.org", "ftp://example.org/", "file:///etc/passwd", "http:///x", "https://", "http://"),
        *("http://a:b@example.org/", "http://example.org:22/", "http://example.org:0/", "http://[::1/"),
        *("http://example.org:99999/", "http://exa mple.org/", "http://example.org/\r\nX: y", "http://ä.org"),
        "http://example.org/" + "x" * 3000,
    ],
)
def test_addresses_of_other_forms_are_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["93.184.216.34"])
    with pytest.raises(WebhookRefusedError):
        check_webhook_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "https://example.org/a?b=c#d",
        "https://example.org:8443/",
        "http://[2606:4700::1]/",
    ],
)
def test_addresses_of_public_hosts_are_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["93.184.216.34"])
    check_webhook_url(url)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "[::ffff:7f00:1]"],
)
def test_this_machine_is_refused_by_whatever_name(host: str) -> None:
    with pytest.raises(WebhookRefusedError):
        check_webhook_url(f"http://{host}:8080/")


def test_a_host_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["93.184.216.34", "10.0.0.1"])
    with pytest.raises(WebhookRefusedError, match="not public"):
        check_webhook_url("http://example.org/")


async def test_a_name_that_leads_elsewhere_at_the_call_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    check_webhook_url("http://rebinding.example/")
    async with httpcore.AsyncConnectionPool(network_backend=PublicNetwork()) as pool:
        with pytest.raises(WebhookRefusedError, match="not public"):
            await pool.request("GET", "http://rebinding.example/")


async def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every answer after the one that is checked would lead into the house.
    resolving(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    called: list[str] = []

    async def connect(_: Any, host: str, port: int, **named: Any) -> httpcore.AsyncNetworkStream:
        called.append(host)
        raise httpcore.ConnectError("no way out of here")

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    async with httpcore.AsyncConnectionPool(network_backend=PublicNetwork()) as pool:
        with pytest.raises(httpcore.ConnectError, match="no way out"):
            await pool.request("GET", "http://rebinding.example/")

    assert called == ["93.184.216.34"]


def certificate_for(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A certificate of a host; gives what a server shows, and what trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    pem.write_bytes(private + public)
    shows = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shows.load_cert_chain(pem)
    return shows, ssl.create_default_context(cadata=public.decode())


@asynccontextmanager
async def serving(shows: ssl.SSLContext) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=shows)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_tls_still_holds_the_server_to_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shows, trusts = certificate_for("hooks.example", tmp_path)
    async with serving(shows) as port:
        resolving(monkeypatch, ["127.0.0.1"])
        monkeypatch.setattr(addresses, "is_public", lambda address: True)
        async with httpcore.AsyncConnectionPool(ssl_context=trusts, network_backend=PublicNetwork()) as pool:
            answer = await pool.request("GET", f"https://hooks.example:{port}/")
            assert answer.status == 204
            with pytest.raises(httpcore.ConnectError, match="certificate verify failed"):
                await pool.request("GET", f"https://others.example:{port}/")
