"""A connection to a server that answers in JSON over HTTP, as a whole or in pieces."""

import json
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

import httpx
from pydantic import ValidationError

from tasks.core.errors import (
    FailureReason,
    HearthError,
    NoResponseError,
    PageError,
    ServerError,
    TransientError,
    UnreadableError,
)
from tasks.core.network import find_proxy, ssl_context
from tasks.inference.detours import explain_failure, refuse_detours
from tasks.inference.json_values import MOST_BYTES, json_values
from tasks.inference.schema import Wire
from tasks.inference.server_words import status_of

W = TypeVar("W", bound=Wire)

_MOST_ERROR_BYTES = 1_000_000
_LONGEST_RETRY_AFTER = 60.0
"""Seconds; a server that asks for a longer pause is asked again sooner."""
_TLS_NAME = "hearth"
# llama-server's message for a request that is always too large, whatever status it comes with.
_TOO_LARGE = re.compile(r"request \((\d+) tokens\) exceeds the available context size \((\d+) tokens\)")
_HALF_CHARACTER = re.compile(r"\\+u[dD][89a-fA-F][0-9a-fA-F]{2}")


def _timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=min(seconds, 5.0), pool=None)


def _pin(certificate: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it is signed by no authority
    return context


async def _read_error(response: httpx.Response) -> str:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MOST_ERROR_BYTES:
            break
    return body.decode(errors="replace")


def _too_large(body: str) -> PageError | None:
    match = _TOO_LARGE.search(body)
    if match is None:
        return None
    problem = f"The page takes {match[1]} tokens, and the model's context has {match[2]}"
    return PageError(FailureReason.REFUSED, f"{problem}. Raise --num-ctx, or lower --longest-side.", final=True)


class Classify(Protocol):
    """Returns the error for a response."""

    def __call__(self, url: str, status: int, body: str, *, authorized: bool) -> HearthError:
        """Return the error for a response with this status and body."""
        ...


Decode = Callable[[AsyncIterator[bytes], int], AsyncGenerator[dict[str, Any]]]
"""Yields the JSON objects of a response of at most so many bytes."""


class JsonConnection:
    """Sends requests and yields the JSON objects of the responses. Use as an async context manager.

    Args:
        url: of the server, such as http://127.0.0.1:11434.
        timeout: longest wait for a response, in seconds.
        headers: sent with each request, such as Authorization.
        certificate: PEM of the one certificate that the server must show, issued to `hearth`; None trusts the
            environment's authorities.
        trust: file of the authorities' certificates, instead of the environment's.
        transport: replaces plain HTTP; it may raise Hearth's own errors.

    Attributes:
        api: name of the API, for messages.
        classify: returns the error for a response.
    """

    api: ClassVar[str]
    classify: ClassVar[Classify]

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        headers: Mapping[str, str] | None = None,
        certificate: str | None = None,
        trust: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        self.timeout = timeout
        # The server's address changes with each start; its name does not.
        self._extensions = {"sni_hostname": _TLS_NAME} if certificate else {}
        self._proxy = None if transport else find_proxy(url)
        # Reading the system's certificates takes 0.1 s, which plain HTTP does not need.
        context = _pin(certificate) if certificate else url.startswith("https:") and ssl_context(trust)
        self._http = httpx.AsyncClient(
            base_url=url,
            transport=transport,
            timeout=_timeout(timeout),
            # One connection per request: a response that a proxy sends twice would be taken for the next page's.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            # A compressed response does not arrive while it is being written.
            headers={"Accept-Encoding": "identity", **(headers or {})},
            verify=context,
            proxy=self._proxy,
            trust_env=False,
            event_hooks={"response": [refuse_detours(url, self._proxy)]},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request, and return the first JSON object of the response; errors as in `objects`."""
        async with aclosing(self.objects(method, path, body)) as values:
            async for value in values:
                return value
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
        """Send a request, and yield the JSON objects of the response as they arrive.

        Args:
            method: the HTTP method.
            path: the endpoint.
            body: is sent as JSON.
            seconds: longest silence; the connection's timeout if None.
            most: maximum bytes of the response.
            each: `most` limits each line of the response instead.
            decode: yields the objects of the response; None for one per line.

        Raises:
            TransientError: the server is out of reach or busy, or the response is not JSON.
            PageError: the server refuses this request, or the response is too long.
            UnavailableError: the server cannot be used.
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
                    # A GET names no model that could be missing: it is the API that is.
                    absent = method == "GET" and response.status_code == httpx.codes.NOT_FOUND
                    words = "" if absent else await _read_error(response)
                    raise self._error(response.status_code, words, response.headers)
                chunks = response.aiter_bytes()
                try:
                    objects = decode(chunks, most) if decode else json_values(chunks, most, each=each)
                    async with aclosing(objects) as values:
                        async for value in values:
                            if (status := status_of(value)) is not None:
                                absent = method == "GET" and status == httpx.codes.NOT_FOUND
                                raise self._error(status, "" if absent else json.dumps(value))
                            yield value
                except ValueError:
                    raise UnreadableError(f"{self.url} answered something that is not {self.api}'s JSON.") from None

    @contextmanager
    def _transport_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException:
            raise NoResponseError(f"{self.url} did not answer in time.") from None
        except httpx.InvalidURL as error:
            raise ServerError(f"{self.url} is not an address: {error}. Correct HEARTH_URL.") from None
        except httpx.RequestError as error:
            raise explain_failure(self.url, error, self._proxy, pinned=bool(self._extensions)) from None

    def parse(self, model: type[W], value: dict[str, Any]) -> W:
        """Return a JSON object as a model, or raise a TransientError if a required field is missing."""
        try:
            return model.model_validate(value)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, entry["loc"])) for entry in error.errors())
            raise UnreadableError(f"{self.url} answered without what {self.api} always sends: {fields}.") from None

    def _error(self, status: int, body: str, headers: httpx.Headers | None = None) -> HearthError:
        body = _HALF_CHARACTER.sub("?", body)  # no log and no file could hold it
        authorized = "authorization" in self._http.headers
        error = _too_large(body) or self.classify(self.url, status, body, authorized=authorized)
        if isinstance(error, TransientError) and headers is not None:
            error.retry_after = _retry_after(headers)
        return error


def _retry_after(headers: httpx.Headers) -> float:
    """Return the seconds after which a server wants to be asked again; 0 if it does not say, or names a date."""
    value = headers.get("retry-after", "")
    return min(float(value), _LONGEST_RETRY_AFTER) if value.isascii() and value.isdigit() else 0.0
