"""Where webhooks may go. Whoever posts names the address, so it must not lead into the backend's own network."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import httpx

from tasks.core.errors import InputError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


async def resolved(url: str, *, private: bool) -> str:
    """The IP address to which a webhook may be sent; connect to this one, lest the name leads elsewhere meanwhile.

    Args:
        url: as it was asked for.
        private: private networks are allowed, and plain http to this machine.

    Raises:
        InputError: it may not be sent there.
    """
    try:
        parsed = httpx.URL(url)
        port = parsed.port or {"http": 80, "https": 443}[parsed.scheme]
        known = await asyncio.get_running_loop().getaddrinfo(parsed.host, port, type=socket.SOCK_STREAM)
    except KeyError:
        raise InputError("The webhook's address is not one of https. Write it like https://example.com/hook.") from None
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise InputError("The webhook's address is not understood. Write it like https://example.com/hook.") from None
    except OSError:
        raise InputError(f"The webhook's host {parsed.host!r} is not found. Check its name.") from None
    if parsed.userinfo:
        raise InputError("The webhook's address holds a password. Leave it out: webhooks are signed.")
    addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in known]
    for address in map(_meant, addresses):
        if not _allowed(address, private=private):
            raise InputError(
                f"The webhook's host {parsed.host!r} is in a network to which none are sent. Use a public one."
            )
        if parsed.scheme != "https" and not (private and address.is_loopback):
            raise InputError("The webhook's address must begin with https.")
    return str(addresses[0])


def _allowed(address: _Address, *, private: bool) -> bool:
    if address.is_multicast or address.is_unspecified or address.is_link_local:
        return False  # clouds tell their machines' credentials at a link-local address
    return address.is_global or (private and (address.is_private or address.is_loopback))


def _meant(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
