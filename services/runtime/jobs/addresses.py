"""Which addresses a webhook may lead to, and a connection that goes nowhere else.

A name is looked up, every address it has is checked, and the connection is made to a checked address: a name
that leads elsewhere the next moment changes nothing. TLS still holds the server to the name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

import httpcore

from services.errors import InputError

IPAddress = IPv4Address | IPv6Address

_PORTS: Final = (80, 443)
_FIRST_FREE_PORT: Final = 1024
LONGEST_URL: Final = 2000
_NAT64: Final = IPv6Network("64:ff9b::/96")
_SOCKET_OPTION = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class WebhookRefusedError(InputError):
    """A webhook that no call can be made to."""

    slug = "webhook-refused"
    title = "The webhook cannot be taken"
    status = 422


def is_public(address: IPAddress) -> bool:
    """Whether an address is one of the public internet: not private, local, multicast or reserved."""
    if isinstance(address, IPv6Address):
        # An IPv4 address in the clothes of an IPv6 one leads where it leads.
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def parsed(url: str) -> httpcore.URL:
    """Read a webhook's address, without looking its name up.

    Raises:
        WebhookRefusedError: it is not http or https, has a port that is not allowed, or names a user.
    """
    try:
        # Over-long, non-ASCII or blank-ridden addresses are not worth the attempt to be right about them.
        if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError
        address = httpcore.URL(url)
    except (ValueError, TypeError):
        raise _refused("is not an address") from None
    if address.scheme not in (b"http", b"https") or not address.host:
        raise _refused("is not an http or https address")
    if "@" in url.split("/")[2]:
        raise _refused("names a user")
    port = address.port
    if port is not None and port not in _PORTS and not _FIRST_FREE_PORT <= port < 1 << 16:
        raise _refused("has a port other than 80, 443, or 1024 and above")
    return address


def check_webhook_url(url: str) -> None:
    """Check an address before a job is taken in; it is checked again at each call. Looks names up: may block.

    Raises:
        WebhookRefusedError: it is not http or https, has a port that is not allowed, or leads to an address
            that is not public.
    """
    address = parsed(url)
    host = address.host.decode("ascii")
    try:
        found = socket.getaddrinfo(host.strip("[]"), address.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise _refused("has a host that is not known") from None
    checked(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found)


def checked(addresses: Iterable[IPAddress]) -> list[IPAddress]:
    """Give the addresses of a host, all of which must be public.

    Raises:
        WebhookRefusedError: one is not, or there is none.
    """
    found = list(dict.fromkeys(addresses))
    # All, not any: a host that also has a private address would be called there now and then.
    if not found or not all(is_public(address) for address in found):
        raise _refused("leads to an address that is not public")
    return found


class PublicNetwork(httpcore.AsyncNetworkBackend):
    """Makes connections to public addresses alone."""

    def __init__(self) -> None:
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[_SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Look a host up, check what it has, and connect to that."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        addresses = checked(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found)
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(str(address), port, timeout=timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._network.sleep(seconds)


def _refused(why: str) -> WebhookRefusedError:
    return WebhookRefusedError(
        f"The webhook's address {why}.",
        remedy="Give an http or https address of a public host, on port 80, 443, or 1024 and above.",
    )
