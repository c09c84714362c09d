"""One default TLS context a process.

httpx makes one for each client, for http:// as well, and reads all certificates for it: 40 ms of processor time each.
"""

from __future__ import annotations

import functools
import ssl
from typing import Any

import certifi

_made = ssl.create_default_context


@functools.cache
def _default(cafile: str) -> ssl.SSLContext:
    return _made(cafile=cafile)


def _created(purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH, **trusted: Any) -> ssl.SSLContext:
    if purpose is ssl.Purpose.SERVER_AUTH and trusted == {"cafile": certifi.where()}:
        return _default(trusted["cafile"])
    return _made(purpose, **trusted)


def share_default_context() -> None:
    """Have whoever asks for the default context in this process, or a fork of it, get the same."""
    ssl.create_default_context = _created
    _default(certifi.where())
