"""What stands between a client and its server, in Hearth's words: proxies, certificates and redirects."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterator

import httpx

from tasks.core.errors import HearthError, ServerError, TransientError
from tasks.core.network import without_credentials

_MIXED = (b"HTTP request to an HTTPS server", b"HTTP request was sent to HTTPS port")
_MOST_CHARACTERS = 200
_PROXY_REFUSES = {403, 407}
_PROXY_FAILS = {502, 503, 504}


def trouble(url: str, error: httpx.RequestError, proxy: str | None, *, pinned: bool) -> HearthError:
    """Return what it means that a request did not arrive.

    Args:
        url: the server's.
        error: how it ended.
        proxy: the one that the request went through, if any.
        pinned: the server must show one certificate, which it may not have yet while it boots.
    """
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError) and not pinned:
            return ServerError(
                f"The certificate of {_whose(url, proxy)} is not trusted ({cause.verify_message.rstrip('.')}). "
                "Name the file of its authority's certificate with HEARTH_URL_CA, or correct the address."
            )
        if isinstance(cause, ssl.SSLError) and cause.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
            return ServerError(f"{_whose(url, proxy)} does not speak TLS. Write its address with http://.")
    if proxy and isinstance(error, httpx.ProxyError):
        told = str(error)[:_MOST_CHARACTERS]
        return _of_proxy(proxy, url, told, refused=told.startswith(("401", "403", "407")))
    way = f" through the proxy {without_credentials(proxy)}" if proxy else ""
    return TransientError(f"{url} is out of reach{way} ({type(error).__name__}).")


def refusing_detours(url: str, proxy: str | None) -> Callable[[httpx.Response], Awaitable[None]]:
    """Return a hook that refuses what no server of Ollama's answers: a redirect, or that TLS was expected.

    No redirect is followed: credentials and pages go to the server that was named, and to no other.
    """

    async def check(response: httpx.Response) -> None:
        if response.has_redirect_location:
            target = without_credentials(str(response.headers["location"])[:_MOST_CHARACTERS])
            raise ServerError(
                f"{url} redirects to {target} (HTTP {response.status_code}). Use that address, if it is right."
            )
        if proxy and _is_the_proxys(url, response):
            refused = response.status_code in _PROXY_REFUSES
            raise _of_proxy(proxy, url, f"HTTP {response.status_code}", refused=refused)
        if response.status_code == httpx.codes.BAD_REQUEST and url.startswith("http:"):
            content = await response.aread()
            if any(text in content[:1000] for text in _MIXED):
                raise ServerError(f"{url} speaks TLS. Write its address with https://.")

    return check


def _is_the_proxys(url: str, response: httpx.Response) -> bool:
    """Whether a proxy answered in its server's place, which answers in JSON."""
    is_json = "json" in response.headers.get("content-type", "")
    return url.startswith("http:") and response.status_code in _PROXY_REFUSES | _PROXY_FAILS and not is_json


def _of_proxy(proxy: str, url: str, told: str, *, refused: bool) -> HearthError:
    name = without_credentials(proxy)
    if refused:
        return ServerError(
            f"The proxy {name} refuses {url} ({told}). Write a user and a password that it takes into its variable, "
            "or list the host in NO_PROXY."
        )
    return TransientError(f"The proxy {name} does not reach {url} ({told}).")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _whose(url: str, proxy: str | None) -> str:
    return f"{url} (or of the proxy {without_credentials(proxy)})" if proxy and proxy.startswith("https:") else url
