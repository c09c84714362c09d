"""Where webhooks may go. Whoever posts names the address, so it must not lead into the backend's own network."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx

from flows.api.networks import Address, is_private, is_public, unmapped
from tasks.core.errors import InputError

_PORTS = {"http": 80, "https": 443}
_LOOKUP_SECONDS = 5.0
# Their own: a name server that does not answer holds one up for half a minute, and nobody else may wait for that.
_lookups = ThreadPoolExecutor(32, thread_name_prefix="hearth-lookup")


async def resolved(url: str, *, private: bool) -> str:
    """The IP address to which a webhook may be sent; connect to this one, lest the name leads elsewhere meanwhile.

    Args:
        url: as it was asked for.
        private: private networks are allowed, and plain http to this machine.

    Raises:
        InputError: it may not be sent there.
    """
    host, port, secure = _parsed(url)
    addresses = await _addresses(host, port)
    for address in addresses:
        if not (is_public(address) or (private and is_private(address))):
            raise InputError(f"The webhook's host {host!r} is in a network to which none are sent. Use a public one.")
        if not secure and not (private and unmapped(address).is_loopback):
            raise InputError("The webhook's address must begin with https.")
    return str(addresses[0])


def _parsed(url: str) -> tuple[str, int, bool]:
    try:
        parsed = httpx.URL(url)
        port = _PORTS[parsed.scheme] if parsed.port is None else parsed.port
    except KeyError:
        raise InputError("The webhook's address is not one of https. Write it like https://example.com/hook.") from None
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise InputError("The webhook's address is not understood. Write it like https://example.com/hook.") from None
    if parsed.userinfo:
        raise InputError("The webhook's address holds a password. Leave it out: webhooks are signed.")
    if not 1 <= port <= 65535:  # the system would take it modulo 65536
        raise InputError(f"The webhook's port {port} is out of range: ports are 1 to 65535.")
    return parsed.host, port, parsed.scheme == "https"


async def _addresses(host: str, port: int) -> list[Address]:
    def look_up() -> list[Address]:
        known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in known]

    try:
        async with asyncio.timeout(_LOOKUP_SECONDS):
            return await asyncio.get_running_loop().run_in_executor(_lookups, look_up)
    except (UnicodeError, ValueError):
        raise InputError("The webhook's address is not understood. Write it like https://example.com/hook.") from None
    except OSError:  # a TimeoutError is one
        raise InputError(f"The webhook's host {host!r} is not found. Check its name.") from None
