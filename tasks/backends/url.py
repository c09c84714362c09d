"""A server that someone else runs: asked, never started nor stopped."""

from __future__ import annotations

from urllib.parse import urlsplit

from tasks.backends.base import Endpoint, Release
from tasks.errors import InputError
from tasks.jobs import BackendName
from tasks.ollama_api import digest_at
from tasks.settings import Settings

DEFAULT_PORT = 11434


def offer(settings: Settings) -> str | None:
    """Why `auto` takes this backend; None if it does not."""
    return "a server's address is set (HEARTH_URL, LLAMA_API_URL or OLLAMA_HOST)" if settings.url else None


def normalise(address: str) -> str:
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


class UrlBackend:
    """See the module."""

    name = BackendName.URL
    default_model = "qwen2.5vl:7b"
    default_slots = 8

    def __init__(self, settings: Settings) -> None:
        if not settings.url:
            raise InputError("The backend url needs an address. Set HEARTH_URL, for instance http://10.0.0.5:11434.")
        self._url = normalise(settings.url)

    def describe(self) -> str:
        """See `Backend`."""
        return f"the server at {self._url}"

    async def digest(self, model: str) -> str | None:
        """See `Backend`: only the server knows."""
        return await digest_at(self._url, model)

    async def acquire(self, slots: int, holder: str) -> Endpoint:
        """See `Backend`. Nothing is asked yet: the warm-up waits for an answer."""
        return Endpoint(self.name, self._url, slots)

    async def release(self, endpoint: Endpoint, *, broken: bool = False) -> Release:
        """See `Backend`."""
        del endpoint, broken
        return Release("left as it was: someone else runs it")
