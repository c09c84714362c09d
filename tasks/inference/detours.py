"""Failures between a client and its server: proxies, certificates and redirects."""

import ssl
from collections.abc import Awaitable, Callable, Iterator

import httpx

from tasks.core.errors import HearthError, ServerError, TransientError
from tasks.core.network import without_credentials

_MIXED = (b"HTTP request to an HTTPS server", b"HTTP request was sent to HTTPS port")
_MOST_CHARACTERS = 200
_PROXY_REFUSES = {403, 407}
_PROXY_FAILS = {502, 503, 504}


def explain_failure(url: str, error: httpx.RequestError, proxy: str | None, *, pinned: bool) -> HearthError:
    """Return the error for a request that did not reach its server.

    Args:
        url: of the server.
        error: the failure of the request.
        proxy: the proxy of the request, if any.
        pinned: the server must show one certificate, which it may not have yet while it boots.
    """
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError) and not pinned:
            return ServerError(
                f"The certificate of {_with_proxy(url, proxy)} is not trusted ({cause.verify_message.rstrip('.')}). "
                "Name the file of its authority's certificate with HEARTH_URL_CA, or correct the address."
            )
        if isinstance(cause, ssl.SSLError) and cause.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
            return ServerError(f"{_with_proxy(url, proxy)} does not speak TLS. Write its address with http://.")
    if proxy and isinstance(error, httpx.ProxyError):
        detail = str(error)[:_MOST_CHARACTERS]
        return _proxy_error(proxy, url, detail, refused=detail.startswith(("401", "403", "407")))
    route = f" through the proxy {without_credentials(proxy)}" if proxy else ""
    return TransientError(f"{url} is out of reach{route} ({type(error).__name__}).")


def refuse_detours(url: str, proxy: str | None) -> Callable[[httpx.Response], Awaitable[None]]:
    """Return a response hook that refuses redirects, a proxy's own errors, and HTTP on a TLS port.

    No redirect is followed: credentials and pages go to the configured server, and to no other.
    """

    async def check(response: httpx.Response) -> None:
        if response.has_redirect_location:
            target = without_credentials(str(response.headers["location"])[:_MOST_CHARACTERS])
            raise ServerError(
                f"{url} redirects to {target} (HTTP {response.status_code}). Use that address, if it is right."
            )
        if proxy and _is_from_proxy(url, response):
            refused = response.status_code in _PROXY_REFUSES
            raise _proxy_error(proxy, url, f"HTTP {response.status_code}", refused=refused)
        if response.status_code == httpx.codes.BAD_REQUEST and url.startswith("http:"):
            content = await response.aread()
            if any(text in content[:1000] for text in _MIXED):
                raise ServerError(f"{url} speaks TLS. Write its address with https://.")

    return check


def _is_from_proxy(url: str, response: httpx.Response) -> bool:
    """Return whether a proxy answered instead of its server, which answers in JSON."""
    is_json = "json" in response.headers.get("content-type", "")
    return url.startswith("http:") and response.status_code in _PROXY_REFUSES | _PROXY_FAILS and not is_json


def _proxy_error(proxy: str, url: str, detail: str, *, refused: bool) -> HearthError:
    name = without_credentials(proxy)
    if refused:
        return ServerError(
            f"The proxy {name} refuses {url} ({detail}). Set a user and password that it accepts in its variable, or "
            "list the host in NO_PROXY."
        )
    return TransientError(f"The proxy {name} does not reach {url} ({detail}).")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _with_proxy(url: str, proxy: str | None) -> str:
    return f"{url} (or of the proxy {without_credentials(proxy)})" if proxy and proxy.startswith("https:") else url
