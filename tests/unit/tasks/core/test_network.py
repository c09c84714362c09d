"""The environment's network settings: proxies, and trusted certificates."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core import network
from tasks.core.errors import InputError
from tasks.core.network import (
    AWS_CERTIFICATES,
    HTTPX_CERTIFICATES,
    PREFECTS_CERTIFICATES,
    check_connection,
    find_proxy,
    normalize_environment,
    ssl_context,
    without_credentials,
)

_VARIABLES = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy", "PREFECT_API_URL"),
)
PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the variables for the test, and restore them."""
    monkeypatch.setattr(network, "unusable", {})
    for name in (*_VARIABLES, "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


# Hosts that are reached without a proxy


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.8.9.10", "127.1", "localhost", "LOCALHOST.", "a.localhost", "[::1]", "[::ffff:127.0.0.1]"],
)
def test_this_machine_never_is(monkeypatch: pytest.MonkeyPatch, host: str):
    monkeypatch.setenv("ALL_PROXY", PROXY)
    assert find_proxy(f"http://{host}:11434") is None


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(
    ("listed", "url"),
    [
        ("*", "http://far.example"),
        ("near.example, *", "http://far.example"),
        ("far.example", "http://far.example:11434"),
        ("FAR.example", "http://gpu.far.example"),
        (".far.example", "http://gpu.far.example"),
        ("*.far.example", "http://gpu.far.example"),
        ("other,far.example:11434", "http://far.example:11434"),
        ("other far.example", "http://far.example"),
        ("10.0.0.0/8", "http://10.200.1.1:11434"),
        ("10.1.2.3", "http://10.1.2.3"),
        ("10.1.2.3:80", "http://10.1.2.3"),
        ("fd00::/8", "http://[fd12::1]:11434"),
        ("[fd12::1]", "http://[fd12::1]"),
        ("fd12::1", "http://[fd12:0::1]"),
        ("[fd12::1]:11434", "http://[fd12::1]:11434"),
        ("10.0.0.0/8", "http://[::ffff:10.0.0.1]"),
        ("http://far.example", "http://far.example"),
    ],
)
def test_those_in_the_list_are_not(monkeypatch: pytest.MonkeyPatch, name: str, listed: str, url: str):
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv(name, listed)
    assert find_proxy(url) is None


@pytest.mark.parametrize(
    ("listed", "url"),
    [
        ("far.example", "http://notfar.example"),
        ("far.example:80", "http://far.example:11434"),
        ("10.0.0.0/8", "http://11.0.0.1"),
        ("10.0.0.0/8", "http://ten.example"),
        ("[fd12::1]:80", "http://[fd12::1]:11434"),
        ("fd00::/8", "http://[fe80::1]"),
        ("", "http://far.example"),
        (",,/,:,[],*x", "http://far.example"),
    ],
)
def test_others_are(monkeypatch: pytest.MonkeyPatch, listed: str, url: str):
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", listed)
    assert find_proxy(url) == PROXY


@given(st.text(alphabet="a.*:/[]0123456789f, é%@-_", max_size=30))
def test_no_list_breaks_a_client(listed: str):
    """Neither ours, nor httpx's own that Prefect uses."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("no_proxy", "NO_PROXY"):
            patch.setenv(name, listed)
        patch.setenv("HTTP_PROXY", PROXY)
        normalize_environment()
        assert find_proxy("http://localhost") is None
        find_proxy("http://far.example")
        httpx.Client(verify=False)


# The environment as other libraries and children find it


def test_the_users_list_is_kept_and_this_machine_added(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_PROXY", "near.example,10.0.0.0/8")
    monkeypatch.setenv("no_proxy", "[fd12::1],fd00::/8")
    normalize_environment()
    normalize_environment()
    listed = os.environ["NO_PROXY"]
    assert listed.startswith("near.example,10.0.0.0/8,[fd12::1],fd00::/8,localhost,127.0.0.1,::1")
    normalize_environment()
    assert os.environ["NO_PROXY"] == listed


def test_everything_stays_everything_for_libraries_that_know_it_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("no_proxy", "near.example,*")
    normalize_environment()
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "*"


def test_a_range_counts_for_prefects_own_client_which_knows_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
    monkeypatch.setenv("PREFECT_API_URL", "http://10.1.2.3:4200/api")
    normalize_environment()
    assert "10.1.2.3" in os.environ["no_proxy"].split(",")


@pytest.mark.parametrize(
    ("written", "settled"),
    [
        ("socks5://127.0.0.1:1080", "socks5://127.0.0.1:1080"),
        ("socks://127.0.0.1:1080/", "socks5://127.0.0.1:1080/"),
        ("SOCKS5H://proxy:1080", "socks5h://proxy:1080"),
        (" proxy:3128 ", "http://proxy:3128"),
        ("https://user:pass@proxy:3128", "https://user:pass@proxy:3128"),
    ],
)
def test_a_proxy_is_written_as_libraries_understand_it(monkeypatch: pytest.MonkeyPatch, written: str, settled: str):
    monkeypatch.setenv("ALL_PROXY", written)
    normalize_environment()
    assert os.environ["ALL_PROXY"] == find_proxy("https://far.example") == settled
    httpx.Client(verify=False)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("written", ["socks4://proxy:1080", "ftp://proxy", "http://", "http://[", "http://a b", "h:x"])
def test_one_that_cannot_be_used_does_harm_only_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str
):
    monkeypatch.setenv(name, written)
    normalize_environment()
    httpx.Client(verify=False)
    assert find_proxy("http://127.0.0.1:11434") is None
    with pytest.raises(InputError, match=f"^{name.upper()} is not a proxy"):
        find_proxy("http://far.example")


def test_its_password_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALL_PROXY", "socks4://user:secret@proxy:1080")
    normalize_environment()
    with pytest.raises(InputError) as caught:
        find_proxy("http://far.example")
    assert "secret" not in str(caught.value)


# Certificates


@pytest.mark.parametrize(
    ("name", "readers"),
    [
        ("SSL_CERT_FILE", HTTPX_CERTIFICATES),
        ("SSL_CERT_DIR", PREFECTS_CERTIFICATES),
        ("AWS_CA_BUNDLE", AWS_CERTIFICATES),
        ("REQUESTS_CA_BUNDLE", AWS_CERTIFICATES),
    ],
)
@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n"])
def test_missing_ones_do_harm_only_over_tls_and_to_those_who_read_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, readers: tuple[str, ...], content: str | None
):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(name, str(path))
    normalize_environment()
    httpx.Client()
    check_connection("http://far.example", readers)
    check_connection("https://far.example", ())
    with pytest.raises(InputError, match=f"^{name} names {path}"):
        check_connection("https://far.example", readers)


def test_a_file_without_certificates_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="holds no certificate"):
        ssl_context(tmp_path / "missing.pem")


# Addresses that are shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:secret@far.example:1/x?token=secret#secret", "http://far.example:1/x"),
        ("http://far.example", "http://far.example"),
        ("http://[secret", "an invalid URL"),
    ],
)
def test_they_are_shown_without_credentials(url: str, shown: str):
    assert without_credentials(url) == shown
