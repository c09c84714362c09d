"""TLS contexts that read certifi's authorities at their first connection, not when they are made.

httpx and Prefect make a context for every client, also for http://, and reading these authorities takes 15 to 40 ms of
processor time (measured with Python 3.11).
"""

import ssl
from types import FunctionType
from typing import Any

import certifi


class _LateContext(ssl.SSLContext):
    """A context that reads certifi's file when it protects its first connection, and any other file at once."""

    _unread = False

    def load_verify_locations(self, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:  # noqa: ANN401 - the library's
        """Read authorities; certifi's later."""
        if cafile == certifi.where() and capath is None and cadata is None:
            self._unread = True
        else:
            super().load_verify_locations(cafile, capath, cadata)

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:  # noqa: ANN401 - the library's
        """Protect a socket."""
        self._read()
        return super().wrap_socket(*arguments, **options)

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:  # noqa: ANN401 - the library's
        """Protect a stream, as asyncio has them."""
        self._read()
        return super().wrap_bio(*arguments, **options)

    def _read(self) -> None:
        if self._unread:
            super().load_verify_locations(certifi.where())
            self._unread = False


_made = ssl.create_default_context
_late = FunctionType(_made.__code__, {**vars(ssl), "SSLContext": _LateContext}, argdefs=_made.__defaults__)
_late.__kwdefaults__ = _made.__kwdefaults__


def read_authorities_late() -> None:
    """Have this process's default contexts read certifi's authorities late. Safe to call twice."""
    ssl.create_default_context = _late
