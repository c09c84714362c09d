"""The network settings of the environment: proxies, hosts without a proxy, and trusted certificates.

Each library reads these variables by its own rules and fails on other notations, so every process normalizes them once,
before it uses one. This machine is never reached through a proxy. An invalid variable does no harm until a connection
needs it; the error then names it.
"""

import os
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

import certifi

from tasks.core.errors import InputError

_LOCAL = ("localhost", "127.0.0.1", "::1")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_PROXY_SCHEMES = {"http", "https", "socks5", "socks5h"}
_EXCEPTIONS = ("NO_PROXY", "no_proxy")
HTTPX_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
PREFECTS_CERTIFICATES = (*HTTPX_CERTIFICATES, "PREFECT_API_SSL_CERT_FILE")
AWS_CERTIFICATES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")
_CERTIFICATES = (*PREFECTS_CERTIFICATES, *AWS_CERTIFICATES, "CURL_CA_BUNDLE")
_FOLDERS = {"SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"}
_PEM = re.compile(rb"-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----")
_PARSED_BYTES = 64_000
# The entries that httpx accepts in no_proxy: a name or an IPv4 address, with or without a port, or *.example.com.
_PLAIN = re.compile(r"[\w.*-]+(:\d+)?(/\d+)?", re.ASCII)

unusable: dict[str, str] = {}

Address = IPv4Address | IPv6Address


def normalize_environment() -> None:
    """Rewrite the environment so that this process's libraries and child processes can use it. Safe to call twice."""
    for name in (*_PROXIES, *map(str.lower, _PROXIES)):
        if value := os.environ.get(name, ""):
            _replace(name, _proxy(value), "is not a proxy of http, https or socks5")
    for name in _CERTIFICATES:
        if value := os.environ.get(name, ""):
            folders = value.split(os.pathsep) if name in _FOLDERS else ()
            usable = any(map(os.path.isdir, folders)) or _holds_certificates(Path(value))
            _replace(name, value if usable else None, f"names {value}, which holds no readable certificate")
    exceptions = _exceptions()
    everything = "*" in exceptions
    # Programs prefer one case or the other. httpx prefers the lower case, and fails on some entries.
    os.environ["NO_PROXY"] = "*" if everything else ",".join(exceptions)
    os.environ["no_proxy"] = "*" if everything else ",".join(_for_httpx(exceptions))


def find_proxy(url: str) -> str | None:
    """Return the proxy for a URL; None for a direct connection.

    Raises:
        InputError: the one that is set cannot be used.
    """
    parts = urlsplit(url)
    if _is_excepted(parts):
        return None
    proxies = getproxies()
    for kind in (parts.scheme, "all"):
        if proxies.get(kind):
            return proxies[kind]
        _refuse(f"{kind.upper()}_PROXY")
    return None


def check_connection(url: str, certificates: Sequence[str] = HTTPX_CERTIFICATES) -> None:
    """Check that the environment's settings for connections to a URL can be used, with the client's certificates.

    Raises:
        InputError: one cannot; the message names the variable.
    """
    find_proxy(url)
    if urlsplit(url).scheme == "https":
        _refuse(*certificates)


def check_environment() -> None:
    """Check that all network settings of the environment can be used, for long-lived child processes.

    Raises:
        InputError: one cannot.
    """
    _refuse(*unusable)


def ssl_context(certificates: Path | None = None) -> ssl.SSLContext:
    """Return a TLS context that trusts the certificates of a file, by default those that the environment names.

    Raises:
        InputError: the file holds no certificate.
    """
    if certificates is not None:
        if not _holds_certificates(certificates):
            raise InputError(f"{certificates} holds no certificate in PEM that can be read. Name another file.")
        context = ssl.create_default_context(cafile=str(certificates))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a server's own, which no authority signed, will do
        return context
    _refuse(*HTTPX_CERTIFICATES)
    if file := os.environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=file)
    if folder := os.environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context(capath=folder)
    return ssl.create_default_context(cafile=certifi.where())


def without_credentials(url: str) -> str:
    """Return a URL that may be shown and stored: without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an invalid URL"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine's own."""
    name = host.lower().rstrip(".")
    address = _address(name)
    return name == "localhost" or name.endswith(".localhost") or (address is not None and address.is_loopback)


def _replace(name: str, value: str | None, trouble: str) -> None:
    if value is None:
        unusable[name.upper()] = trouble
        del os.environ[name]
    else:
        os.environ[name] = value


def _refuse(*names: str) -> None:
    for name in names:
        if name in unusable:
            raise InputError(f"{name} {unusable[name]}. Correct it, or unset it.")


def _proxy(value: str) -> str | None:
    """Return a proxy in the notation that every library understands; None if it is invalid."""
    text = value.strip()
    scheme, separator, rest = text.rpartition("://")
    scheme = scheme.lower() if separator else "http"
    scheme = "socks5" if scheme == "socks" else scheme  # as GNOME writes it
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        usable = scheme in _PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return f"{scheme}://{rest}" if usable and not re.search(r"\s", text) else None


def _holds_certificates(path: Path) -> bool:
    try:
        content = path.read_bytes()
        if not _PEM.search(content):
            return False
        if len(content) < _PARSED_BYTES:  # parsing a system's bundle takes 60 ms
            ssl.create_default_context(cafile=str(path))
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return False
    return True


def _exceptions() -> list[str]:
    """Return the hosts that are reached without a proxy: the user's, and this machine."""
    entries = [entry for name in _EXCEPTIONS for entry in re.split(r"[,\s]+", os.environ.get(name, "")) if entry]
    return list(dict.fromkeys([*entries, *_LOCAL]))


def _for_httpx(listed: list[str]) -> Iterator[str]:
    """Yield the entries in httpx's notation, which has no ranges; the host of Prefect's API stands for its range."""
    api = urlsplit(os.environ.get("PREFECT_API_URL", ""))
    with suppress(ValueError):
        if api.hostname and any(_matches(entry, api.hostname, api.port) for entry in listed):
            listed = [*listed, api.hostname]
    for entry in dict.fromkeys(listed):
        bare = entry.strip("[]")
        if _PLAIN.fullmatch(entry):
            yield entry
        elif "/" not in bare and isinstance(_address(bare), IPv6Address):
            yield bare


def _is_excepted(parts: SplitResult) -> bool:
    host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return is_loopback(host) or any(_matches(entry, host, port) for entry in _exceptions())


def _matches(entry: str, host: str, port: int | None) -> bool:
    """Return whether an entry of NO_PROXY covers a host: a domain, an address or a range, with or without a port."""
    if entry == "*":
        return True
    entry = entry.lower().rpartition("://")[2]
    address = _address(host)
    if address is not None:
        with suppress(ValueError):
            return address in ip_network(entry.strip("[]"), strict=False)
    name, colon, number = entry.rpartition(":")
    if colon and number.isdecimal() and (":" not in name or name.endswith("]")):
        return int(number) == port and _matches(name, host, None)
    if address is not None:
        return address == _address(entry.strip("[]"))
    name = entry.removeprefix("*").strip(".")
    host = host.lower().rstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _address(host: str) -> Address | None:
    """Return the address that a host is, in any notation; None for a name."""
    with suppress(ValueError):
        address = ip_address(host.strip("[]").partition("%")[0])
        return getattr(address, "ipv4_mapped", None) or address
    if re.fullmatch(r"[0-9a-fx.]+", host):
        with suppress(OSError):
            return IPv4Address(socket.inet_aton(host))  # the system's own notations, such as 127.1 and 0x7f000001
    return None
