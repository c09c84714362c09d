"""A connection to a server that answers in JSON over HTTP, as a whole or in pieces."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
from pydantic import ValidationError

from tasks.core.errors import FailureReason, HearthError, NoResponseError, PageError, ServerError, TransientError
from tasks.core.network import find_proxy, ssl_context
from tasks.inference.detours import refusing_detours, trouble
from tasks.inference.json_values import MOST_BYTES, json_values
from tasks.inference.schema import Wire

W = TypeVar("W", bound=Wire)

_MOST_ERROR_BYTES = 1_000_000
_LONGEST_RETRY_AFTER = 60.0
"""Seconds; whoever asks for more is asked again sooner."""
_TLS_NAME = "hearth"
# Of llama-server: a request that it can never take, whatever status it comes with.
_TOO_LARGE = re.compile(r"request \((\d+) tokens\) exceeds the available context size \((\d+) tokens\)")
_HALF_CHARACTER = re.compile(r"\\+u[dD][89a-fA-F][0-9a-fA-F]{2}")


def _timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, 5.0), pool=None)


def _trusting(certificate: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=certificate)
    # It is no authority's: it vouches for itself.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


async def _text(response: httpx.Response) -> str:
    """The beginning of an error's body."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MOST_ERROR_BYTES:
            break
    return body.decode(errors="replace")


def _too_large(body: str) -> PageError | None:
    found = _TOO_LARGE.search(body)
    if found is None:
        return None
    told = f"The page takes {found[1]} tokens, and the model's context has {found[2]}"
    return PageError(FailureReason.REFUSED, f"{told}. Raise --num-ctx, or lower --longest-side.", final=True)


class Classify(Protocol):
    """What an error's answer means."""

    def __call__(self, url: str, status: int, body: str, *, authorized: bool) -> HearthError:
        """Return the error that an answer with this status and body stands for."""
        ...


Decode = Callable[[AsyncIterator[bytes], int], AsyncGenerator[dict[str, Any]]]
"""Takes the JSON objects out of an answer of at most so many bytes."""


class JsonConnection:
    """See the module.

    Args:
        api: what the server speaks, for errors.
        classify: what its errors mean.
        url: of the server.
        timeout: longest wait for an answer, in seconds.
        headers: sent with each request.
        certificate: the one that the server must show, in PEM, made out to `hearth`; None trusts what the system does.
        trust: file of the certificates by which it is trusted, where those of the system do not do.
        transport: carries the requests where no plain HTTP goes; it may raise errors of Hearth's own.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
        certificate: str | None = None,
        trust: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        api: str,
        classify: Classify,
    ) -> None:
        self.url = url
        self._api = api
        self._classify = classify
        # The server's address changes with each start; its name does not.
        self._extensions = {"sni_hostname": _TLS_NAME} if certificate else {}
        self._proxy = None if transport else find_proxy(url)
        # Reading the system's certificates takes a tenth of a second; plain HTTP has no use for them.
        context = _trusting(certificate) if certificate else url.startswith("https:") and ssl_context(trust)
        self._http = httpx.AsyncClient(
            base_url=url,
            transport=transport,
            timeout=_timeout(timeout),
            # Each request has a connection of its own: what a proxy sends twice would be the next page's answer.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            # What is compressed does not come while it is being written.
            headers={"Accept-Encoding": "identity", **(headers or {})},
            verify=context,
            proxy=self._proxy,
            trust_env=False,
            event_hooks={"response": [refusing_detours(url, self._proxy)]},
        )

    async def aclose(self) -> None:
        """Close what is open."""
        await self._http.aclose()

    async def json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask for one JSON object.

        Raises:
            HearthError: see `objects`.
        """
        async with aclosing(self.objects(method, path, body)) as found:
            async for decoded in found:
                return decoded
        raise TransientError(f"{self.url} answered nothing.")

    async def objects(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        seconds: float | None = None,
        *,
        most: int = MOST_BYTES,
        each: bool = False,
        decode: Decode | None = None,
    ) -> AsyncGenerator[dict[str, Any]]:
        """Ask, and yield the JSON objects of the answer as they come.

        Args:
            method: of HTTP.
            path: of the API.
            body: is sent as JSON.
            seconds: longest silence; the connection's timeout if None.
            most: bytes of the answer.
            each: so many of each line of it instead.
            decode: takes the objects out of it; by lines if None.

        Raises:
            TransientError: the server is out of reach, busy, or answers what is no JSON.
            PageError: it refuses this request, or answers without end.
            UnavailableError: it cannot be used.
        """
        with self._transport_errors():
            async with self._http.stream(
                method,
                path,
                content=None if body is None else json.dumps(body).encode(),
                headers={"Content-Type": "application/json"},
                timeout=httpx.USE_CLIENT_DEFAULT if seconds is None else _timeout(seconds),
                extensions=self._extensions,
            ) as response:
                if response.is_error:
                    raise self._error(response.status_code, await _text(response), response.headers)
                chunks = response.aiter_bytes()
                try:
                    objects = decode(chunks, most) if decode else json_values(chunks, most, each=each)
                    async with aclosing(objects) as values:
                        async for decoded in values:
                            if decoded.get("error"):
                                raise self._error(500, json.dumps(decoded))
                            yield decoded
                except ValueError:
                    raise TransientError(f"{self.url} answered something that is not {self._api}'s JSON.") from None

    @contextmanager
    def _transport_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException:
            raise NoResponseError(f"{self.url} did not answer in time.") from None
        except httpx.InvalidURL as error:
            raise ServerError(f"{self.url} is not an address: {error}. Correct HEARTH_URL.") from None
        except httpx.RequestError as error:
            raise trouble(self.url, error, self._proxy, pinned=bool(self._extensions)) from None

    def parsed(self, model: type[W], decoded: dict[str, Any]) -> W:
        """What was sent, as a model; a TransientError if what is vital is missing."""
        try:
            return model.model_validate(decoded)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, entry["loc"])) for entry in error.errors())
            raise TransientError(f"{self.url} answered without what {self._api} always sends: {fields}.") from None

    def _error(self, status: int, body: str, headers: httpx.Headers | None = None) -> HearthError:
        body = _HALF_CHARACTER.sub("?", body)  # which no log and no file could hold
        authorized = "authorization" in self._http.headers
        error = _too_large(body) or self._classify(self.url, status, body, authorized=authorized)
        if isinstance(error, TransientError) and headers is not None:
            error.retry_after = _retry_after(headers)
        return error


def _retry_after(headers: httpx.Headers) -> float:
    """Return the seconds that a server asks to be left alone for; 0 where it does not, or names a date."""
    written = headers.get("retry-after", "")
    return min(float(written), _LONGEST_RETRY_AFTER) if written.isascii() and written.isdigit() else 0.0
