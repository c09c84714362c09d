"""Who may reach the machines: never the whole world, however it is spelled."""

from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra_scripts.common.errors import RequestError
from infra_scripts.common.ingress import ingress_rules


def wide(version: int, widest: int, bits: int) -> st.SearchStrategy[str]:
    address = st.ip_addresses(v=version)  # type: ignore[call-overload]  # 4 or 6
    return st.tuples(address, st.integers(0, widest - 1)).map(lambda pair: f"{pair[0]}/{pair[1]}")


class TestRefused:
    @given(wide(4, 8, 32))
    def test_every_network_wider_than_8_bits_whatever_its_host_bits(self, source: str):
        with pytest.raises(RequestError, match="wider than /8"):
            ingress_rules([source], 11434)

    @given(wide(6, 32, 128))
    def test_every_ipv6_network_wider_than_32_bits(self, source: str):
        with pytest.raises(RequestError, match="wider than /32"):
            ingress_rules([source], 11434)

    @pytest.mark.parametrize(
        "source",
        [
            "0.0.0.0/0",
            "::/0",
            "0.0.0.0/1",
            "128.0.0.0/1",
            "10.0.0.0/4",
            "10.1.2.3/4",
            "0/0",
            "0.0.0.0/00",
            "0.0.0.0/0.0.0.0",
            "10.0.0.0/-1",
            "0.0.0.0/255.255.255.255.0",
            "10.0.0.0/0.255.255.255",
            "*",
            "any",
            "10.0.0.0/8,0.0.0.0/0",
            "::ffff:0:0/96",
            "0x0/0",
            "00.0.0.0/0",
            "10.0.0.0/33",
            "sg-",
            "sg-0123456789abcdefg",
            "[::]/0",
            "1.2.3.4/",
            "pl-01234567",
            ".".join(chr(0x660) * 4) + "/0",
            "",
            " ",
            "0.0.0.0/0 ",
            "sg-0123456789abcdef0\n",
        ],
    )
    def test_sneaky_and_senseless_spellings(self, source: str):
        with pytest.raises(RequestError):
            ingress_rules([source], 11434)

    def test_networks_that_are_too_wide_together(self):
        with pytest.raises(RequestError, match="Together"):
            ingress_rules(["10.0.0.0/8", "11.0.0.0/8"], 11434)

    def test_an_address_written_as_its_network(self):
        with pytest.raises(RequestError, match=r"Use 10\.1\.0\.0/16 for the network, or 10\.1\.2\.3"):
            ingress_rules(["10.1.2.3/16"], 11434)

    def test_more_sources_than_a_group_takes(self):
        with pytest.raises(RequestError, match="Join"):
            ingress_rules([f"10.0.{n}.1/32" for n in range(51)], 11434)


class TestAllowed:
    @given(st.ip_addresses(), st.integers(8, 128))
    def test_a_network_that_is_narrow_enough_becomes_one_rule_on_the_port(self, address: object, bits: int):
        version = ip_network(str(address)).version
        bits = min(max(bits, 8 if version == 4 else 32), 32 if version == 4 else 128)
        network = ip_network(f"{address}/{bits}", strict=False)
        if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
            return
        (rule,) = ingress_rules([str(network)], 11435)
        key = "CidrIp" if isinstance(network, IPv4Network) else "CidrIpv6"
        assert rule == {
            "IpProtocol": "tcp", "FromPort": 11435, "ToPort": 11435, "Description": "Hearth", key: str(network),
        }  # fmt: skip

    def test_an_address_alone_is_a_network_of_one(self):
        (rule,) = ingress_rules(["203.0.113.7"], 11434)
        assert rule["CidrIp"] == "203.0.113.7/32"

    def test_a_security_group(self):
        (rule,) = ingress_rules(["sg-0123456789abcdef0"], 11434)
        assert rule["SourceSecurityGroupId"] == "sg-0123456789abcdef0"
