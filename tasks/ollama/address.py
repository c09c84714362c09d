"""Where a server is: its address as people write it, and ports of this machine."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from tasks.core.errors import InputError

DEFAULT_PORT = 11434


def server_url(address: str) -> str:
    """An address as people write it into OLLAMA_HOST, as a URL: `host`, `host:port`, `http://host:port`.

    0.0.0.0 is where a server listens; a client means this machine by it, as Ollama's own does.

    Raises:
        InputError: it is no address.
    """
    wrong = f"The server address {address!r} is not understood. Write it like http://10.0.0.5:11434."
    text = address.strip().rstrip("/")
    written = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(written)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InputError(wrong) from None
    if parts.scheme not in {"http", "https"} or not host or any(c.isspace() for c in written):
        raise InputError(wrong)
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    if port is None:
        port = DEFAULT_PORT if "://" not in text else {"http": 80, "https": 443}[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port}{parts.path}"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
