"""The networks to which webhooks may be sent: public ones, private ones, and those that are always refused."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.api import addresses
from flows.api.addresses import is_private, is_public, resolve_webhook
from tasks.core.errors import InputError

PUBLIC = ("8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2001:4860:4860::8888")
EMBEDS_PUBLIC = ("::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1")
PRIVATE = ("10.0.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "127.0.0.1", "::1", "fd12::1", "::ffff:10.0.0.1")
NEVER = (
    *("0.0.0.0", "0.1.2.3", "192.0.0.8", "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "198.18.0.1"),
    *("198.19.255.255", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "ff02::1", "2001:db8::1"),
    *("2001::1", "2001:2::1", "2001:10::1", "2001:20::1", "100::1", "::ffff:0:808:808"),
    *("64:ff9b:1::808:808", "fec0::1", "::8.8.8.8", "::10.0.0.1", "3fff::1", "3fff:fff::1", "5f00::1"),
    *("64:ff9b::a00:1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:a00:1::", "2002:7f00:1::", "2002:a9fe:a9fe::"),
    *("::ffff:0.0.0.0", "::ffff:255.255.255.255"),
)
CREDENTIALS = (
    *("169.254.169.254", "169.254.170.2", "fe80::1", "::ffff:169.254.169.254", "fd00:ec2::254", "fd20:ce::254"),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192"),
)


@pytest.mark.parametrize("address", [*PUBLIC, *EMBEDS_PUBLIC])
def test_internet_addresses_are_public(address: str):
    assert is_public(ip_address(address))
    assert not is_private(ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_private_networks_are_private(address: str):
    assert not is_public(ip_address(address))
    assert is_private(ip_address(address))


@pytest.mark.parametrize("address", [*NEVER, *CREDENTIALS])
def test_special_addresses_and_metadata_services_are_neither_public_nor_private(address: str):
    assert not is_public(ip_address(address))
    assert not is_private(ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_embedded_in_ipv6_is_as_public_as_by_itself(address):
    for prefix in ("::ffff:", "64:ff9b::"):
        assert is_public(ip_address(f"{prefix}{address}")) == is_public(address)


@pytest.mark.parametrize("port", ["0", "65536", "99999", "-1", "4294967739"])
async def test_a_port_out_of_range_is_refused_before_a_lookup(monkeypatch: pytest.MonkeyPatch, port: str):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("it was looked up"))
    with pytest.raises(InputError, match=r"port .* is out of range|not valid"):
        await resolve_webhook(f"https://example.com:{port}/hook", private=False)


@pytest.mark.parametrize("host", ["0x7f000001", "2130706433", "127.1", "0177.0.0.1", "[::ffff:7f00:1]"])
async def test_every_notation_of_this_machines_address_is_refused(host: str):
    with pytest.raises(InputError):
        await resolve_webhook(f"https://{host}/hook", private=False)


async def test_a_host_with_any_private_address_is_refused(monkeypatch: pytest.MonkeyPatch):
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(InputError, match="network"):
        await resolve_webhook("https://example.com/hook", private=False)


async def test_a_lookup_has_a_time_limit(monkeypatch: pytest.MonkeyPatch):
    loop, silent = asyncio.get_running_loop(), asyncio.Event()
    monkeypatch.setattr(addresses, "LOOKUP_SECONDS", 0.05)
    monkeypatch.setattr(loop, "run_in_executor", lambda *_: silent.wait())
    with pytest.raises(InputError, match="is not found"):
        await resolve_webhook("https://example.com/hook", private=False)
