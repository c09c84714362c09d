"""Server addresses as people write them, and free ports of this machine."""

import base64
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from urllib.parse import unquote

from tasks.core.errors import InputError

DEFAULT_PORT = 11434
_PORTS = {"http": 80, "https": 443}
_ANY_HOST = {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
_CLOUD = "ollama.com"
# Characters that no host has: blanks, controls and delimiters of a URL.
_NO_HOST = re.compile(r"[\s\x00-\x1f\x7f/\\?#@\[\],\"'<>]")


@dataclass(frozen=True)
class ServerAddress:
    """A server's address.

    Attributes:
        url: without credentials.
        headers: made from the user and password of the address.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def parse_address(address: str, *, as_ollama: bool = False) -> ServerAddress:
    """Parse an address as people write it: any value of OLLAMA_HOST, and `http://user:password@host:port/path`.

    0.0.0.0 means this machine, as for Ollama's own client. If `as_ollama`, an invalid port becomes the default one, as
    in Ollama (envconfig/config.go).

    Raises:
        InputError: the address is invalid; the message shows no password.
    """
    text = address.strip().strip("\"'").strip()
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = ("https", f"{_CLOUD}:443") if text == _CLOUD else ("http", text)
    scheme = scheme.lower()
    authority, _, path = re.split(r"[?#]", rest)[0].partition("/")
    user, _, location = authority.rpartition("@")
    host, port = _split_port(location)
    default = _PORTS.get(scheme, 0) if separator else DEFAULT_PORT
    if as_ollama and not _is_port(port):
        port = ""
    beyond = rest.removeprefix(authority)
    if not (scheme in _PORTS and (host or port or as_ollama) and _is_host(host, port)) or "@" in beyond:
        raise InputError(
            f"The server address {_shown(text)!r} is invalid. Write it like http://10.0.0.5:11434"
            + (", and / ? # @ in a password as %2F %3F %23 %40." if "@" in text else ".")
        )
    host = "127.0.0.1" if not host or host in _ANY_HOST else host
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or default}"
    headers = {"Authorization": f"Basic {base64.b64encode(unquote(user).encode()).decode()}"} if user else {}
    return ServerAddress(f"{url}/{path.rstrip('/')}".rstrip("/"), headers)


def server_url(address: str, *, as_ollama: bool = False) -> str:
    """Return an address as a URL without credentials; errors as in `parse_address`."""
    return parse_address(address, as_ollama=as_ollama).url


def _split_port(location: str) -> tuple[str, str]:
    bare = location.removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(bare)), ""
    except ValueError:
        pass
    host, colon, port = location.rpartition(":")
    if not colon:
        return location, ""
    return host.removeprefix("[").removesuffix("]") if host.startswith("[") else host, port


def _is_host(host: str, port: str) -> bool:
    if ":" in host:
        try:
            IPv6Address(host)
        except ValueError:
            return False
    return not _NO_HOST.search(host) and (not port or _is_port(port))


def _is_port(port: str) -> bool:
    return port.isascii() and port.isdecimal() and int(port[:6]) <= 65535


def _shown(address: str) -> str:
    """Return an address without its secrets."""
    return re.split(r"[?#]", re.sub(r"^(.*?://)?.*@", r"\1", address, flags=re.DOTALL))[0][:200]


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
