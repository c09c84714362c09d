"""Inbound rules: the networks and security groups that may reach the machines, and never the whole world."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from infra_scripts.common.errors import RequestError

WIDEST_IPV4 = 8
WIDEST_IPV6 = 32
_MAX_RULES = 50
_GROUP = re.compile(r"sg-([0-9a-f]{8}|[0-9a-f]{17})")
_NETWORK = re.compile(r"[0-9A-Fa-f.:]+(/[0-9]{1,3})?", re.ASCII)

Network = IPv4Network | IPv6Network


def ingress_rules(sources: Iterable[str], port: int) -> list[dict[str, object]]:
    """Return the security group's rules that admit the sources on one port.

    Raises:
        RequestError: a source is no network or security group, or the sources together contain a network wider than
            /8 (IPv6: /32).
    """
    groups = sorted({source for source in sources if _GROUP.fullmatch(source)})
    networks = [_network(source) for source in sources if not _GROUP.fullmatch(source)]
    # Adjacent networks are joined: 128 networks of /8 are half of the world, too.
    joined: list[Network] = [
        *collapse_addresses(network for network in networks if isinstance(network, IPv4Network)),
        *collapse_addresses(network for network in networks if isinstance(network, IPv6Network)),
    ]
    for network in joined:
        _refuse_wide(network, "Together, the networks")
    rules: list[dict[str, object]] = [{"SourceSecurityGroupId": group} for group in groups]
    rules.extend(
        {"CidrIp" if network.version == 4 else "CidrIpv6": str(network)} for network in sorted(set(networks), key=str)
    )
    if len(rules) > _MAX_RULES:
        raise RequestError(
            f"A security group has room for about {_MAX_RULES} rules, and --allow-from names {len(rules)} sources. "
            "Join networks."
        )
    common: dict[str, object] = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "Description": "Hearth"}
    return [{**common, **rule} for rule in rules]


def _network(source: str) -> Network:
    if not _NETWORK.fullmatch(source):
        raise RequestError(
            f"{source!r} is neither a network such as 10.0.0.0/16 nor a security group such as sg-0123456789abcdef0."
        )
    try:
        network = ip_network(source, strict=False)
    except ValueError as error:
        raise RequestError(f"{source!r} is not a network: {error}.") from None
    _refuse_wide(network, source)
    if ip_network(source.partition("/")[0]).network_address != network.network_address:
        address = source.partition("/")[0]
        raise RequestError(
            f"{source} is an address within a network. Use {network} for the network, or {address} for this address."
        )
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise RequestError(f"{source} is an IPv4 network written as IPv6. Write it as IPv4.")
    return network


def _refuse_wide(network: Network, subject: str) -> None:
    widest = WIDEST_IPV4 if network.version == 4 else WIDEST_IPV6
    if network.prefixlen < widest:
        raise RequestError(
            f"{subject} would admit {network}, wider than /{widest}: Ollama has no authentication and must never be "
            "open to the world. Use your own address (such as 203.0.113.7/32), your network, or a security group."
        )
