"""Which IP addresses are public, by a list of our own: the standard library's differs from version to version.

The entries are those of IANA's registries of special-purpose addresses (RFC 6890) that nobody on the internet
answers at, and what clouds tell their machines' credentials at.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*written: str) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(each) for each in written)


_CLOUDS = _networks(
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
    "100.64.0.0/10",  # behind a carrier's or an overlay's translation
    "127.0.0.0/8",
    "::1/128",
    "fc00::/7",
)
_SPECIAL = _networks(
    "0.0.0.0/8",
    "192.0.0.0/24",  # IETF's assignments
    "192.0.2.0/24",  # for documents, as the next two
    "198.51.100.0/24",
    "203.0.113.0/24",
    "192.88.99.0/24",  # relays of 6to4
    "198.18.0.0/15",  # benchmarks
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and the broadcast address
    "2001::/23",  # IETF's assignments: Teredo, benchmarks, ORCHID
    "2001:db8::/32",  # for documents, as the next
    "3fff::/20",
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All of IPv6 that is given to anybody: IPv4-compatible, site-local, local NAT64, SRv6 and multicast are not in it."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet's; one that carries an IPv4 address is as public as that."""
    address = unmapped(address)
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        if address not in _GLOBAL_UNICAST:
            return False
        if address.sixtofour is not None:
            return is_public(address.sixtofour)
    return not (_in(address, _CLOUDS) or _in(address, _PRIVATE) or _in(address, _SPECIAL))


def is_private(address: Address) -> bool:
    """Whether an address is in a network of the backend's own, and tells no cloud's credentials."""
    address = unmapped(address)
    return _in(address, _PRIVATE) and not _in(address, _CLOUDS)


def unmapped(address: Address) -> Address:
    """The IPv4 address that an IPv4-mapped one is to the system, or the address itself."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _in(address: Address, networks: Iterable[_Network]) -> bool:
    return any(address in network for network in networks)
