"""Addresses of servers as people write them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import InputError
from tasks.ollama.address import parse_address, server_url

# envconfig/config_test.go of Ollama, whose server listens where its client then asks.
OLLAMAS = {
    "": "http://127.0.0.1:11434",
    "1.2.3.4": "http://1.2.3.4:11434",
    ":1234": "http://127.0.0.1:1234",
    "1.2.3.4:1234": "http://1.2.3.4:1234",
    "example.com": "http://example.com:11434",
    "example.com:1234": "http://example.com:1234",
    ":66000": "http://127.0.0.1:11434",
    ":-1": "http://127.0.0.1:11434",
    "localhost:": "http://localhost:11434",
    "[::1]": "http://[::1]:11434",
    "[::]": "http://127.0.0.1:11434",
    "0.0.0.0": "http://127.0.0.1:11434",
    "::1": "http://[::1]:11434",
    "[::1]:1337": "http://[::1]:1337",
    " 1.2.3.4 ": "http://1.2.3.4:11434",
    '"1.2.3.4"': "http://1.2.3.4:11434",
    ' " 1.2.3.4 " ': "http://1.2.3.4:11434",
    "'1.2.3.4'": "http://1.2.3.4:11434",
    "http://1.2.3.4": "http://1.2.3.4:80",
    "http://1.2.3.4:4321": "http://1.2.3.4:4321",
    "https://1.2.3.4": "https://1.2.3.4:443",
    "https://1.2.3.4:4321": "https://1.2.3.4:4321",
    "https://example.com/ollama": "https://example.com:443/ollama",
    "https://example.com:1234/ollama/": "https://example.com:1234/ollama",
    "ollama.com": "https://ollama.com:443",
}


@pytest.mark.parametrize(("written", "url"), OLLAMAS.items())
def test_every_value_of_ollama_host_means_the_same(written: str, url: str):
    assert server_url(written, as_ollama=True) == url


@pytest.mark.parametrize("written", ["", ":66000", "http://h:x", "http://", "ftp://h", "a b", "h\nx", "http:///x"])
def test_an_invalid_address_of_hearth_is_refused(written: str):
    with pytest.raises(InputError, match=r"is invalid. Write it like"):
        server_url(written)


def test_user_and_password_are_sent_and_not_shown():
    address = parse_address("https://user:p%40ss%2Fword@far.example/ollama")
    assert address.url == "https://far.example:443/ollama"
    assert base64.b64decode(address.headers["Authorization"].removeprefix("Basic ")) == b"user:p@ss/word"
    assert "Authorization" not in repr(address)


@pytest.mark.parametrize("as_ollama", [True, False])
@given(st.text(alphabet="@:/?#[]%a1 '\""), st.text(alphabet="@:/?#[]a1 ", max_size=5))
def test_a_password_is_never_shown(as_ollama: bool, before: str, after: str):
    """However it is written, and whether the address is understood or not."""
    try:
        told = parse_address(f"http://user:{before}SECRET{after}@far.example:1", as_ollama=as_ollama).url
    except InputError as error:
        told = str(error)
    assert "SECRET" not in told
