"""Check the addresses of webhooks. Clients choose them, so they must not lead into the backend's network.

The lists of networks are Hearth's own, because those of the standard library differ between versions: IANA's registries
of special-purpose addresses (RFC 6890) without those that are reachable on the internet, and the addresses at which
machines get their credentials from clouds.
"""

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx

from tasks.core.errors import InputError

LOOKUP_SECONDS = 5.0
_PORTS = {"http": 80, "https": 443}
# A pool of its own: an unresponsive name server blocks a thread for half a minute, and nothing else may wait for it.
_lookups = ThreadPoolExecutor(32, thread_name_prefix="hearth-lookup")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _networks(*written: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(network) for network in written)


_METADATA = _networks(
    "169.254.0.0/16",  # link-local: EC2, ECS, Google, Azure and most others
    "fe80::/10",
    "fd00:ec2::/32",  # EC2 over IPv6
    "fd20:ce::/32",  # Google over IPv6
    "100.100.100.200/32",  # Alibaba
    "168.63.129.16/32",  # Azure
    "192.0.0.192/32",  # Oracle
)
_PRIVATE = _networks(
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",  # carrier-grade and overlay NAT
    "127.0.0.0/8",
    "::1/128",
    "fc00::/7",
)
_SPECIAL = _networks(
    "0.0.0.0/8",
    "192.0.0.0/24",  # IETF's assignments
    "192.0.2.0/24",  # documentation, as the next two
    "198.51.100.0/24",
    "203.0.113.0/24",
    "192.88.99.0/24",  # 6to4 relays
    "198.18.0.0/15",  # benchmarks
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
    "2001::/23",  # IETF's assignments: Teredo, benchmarks, ORCHID
    "2001:db8::/32",  # documentation, as the next
    "3fff::/20",
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All assigned IPv6 addresses but IPv4-compatible, site-local, local NAT64, SRv6 and multicast ones."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Return whether an address is on the internet; one that embeds an IPv4 address is as public as that."""
    address = unmap(address)
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        if address not in _GLOBAL_UNICAST:
            return False
        if address.sixtofour is not None:
            return is_public(address.sixtofour)
    return not any(address in network for network in (*_METADATA, *_PRIVATE, *_SPECIAL))


def is_private(address: Address) -> bool:
    """Return whether an address is in a private network, and not that of a cloud's metadata service."""
    address = unmap(address)
    return any(address in network for network in _PRIVATE) and not any(address in network for network in _METADATA)


def unmap(address: Address) -> Address:
    """Return the IPv4 address that an IPv4-mapped one stands for, or the address itself."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


async def resolve_webhook(url: str, *, private: bool) -> str:
    """Return the IP address of a webhook's URL. Connect to this address: the name may resolve to another one later.

    Args:
        url: the webhook's URL.
        private: whether private networks are allowed, and plain http to this machine.

    Raises:
        InputError: webhooks may not be sent to this URL.
    """
    host, port, secure = _parse(url)
    addresses = await _look_up(host, port)
    for address in addresses:
        if not (is_public(address) or (private and is_private(address))):
            raise InputError(f"The webhook's host {host!r} is in a network that is not allowed. Use a public one.")
        if not secure and not (private and unmap(address).is_loopback):
            raise InputError("The webhook's URL must begin with https.")
    return str(addresses[0])


def _parse(url: str) -> tuple[str, int, bool]:
    try:
        parsed = httpx.URL(url)
        port = _PORTS[parsed.scheme] if parsed.port is None else parsed.port
    except KeyError:
        raise InputError("The webhook's URL must be https. Write it like https://example.com/hook.") from None
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise _invalid_url() from None
    if parsed.userinfo:
        raise InputError("The webhook's URL contains a password. Leave it out: webhooks are signed.")
    if not 1 <= port <= 65535:  # the system would use it modulo 65536
        raise InputError(f"The webhook's port {port} is out of range: ports are 1 to 65535.")
    return parsed.host, port, parsed.scheme == "https"


async def _look_up(host: str, port: int) -> list[Address]:
    def look_up() -> list[Address]:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in entries]

    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            return await asyncio.get_running_loop().run_in_executor(_lookups, look_up)
    except (UnicodeError, ValueError):
        raise _invalid_url() from None
    except OSError:  # a TimeoutError is one
        raise InputError(f"The webhook's host {host!r} is not found. Check its name.") from None


def _invalid_url() -> InputError:
    return InputError("The webhook's URL is not valid. Write it like https://example.com/hook.")
