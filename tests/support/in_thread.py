"""Applications served to tests: on a free port of this machine, in a thread of their own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import uvicorn


class Addressed(Protocol):
    """An ASGI application that is told where it is reached."""

    url: str


App = TypeVar("App", bound=Addressed)


@contextmanager
def in_thread(app: App, server: type[uvicorn.Server] = uvicorn.Server, **options: Any) -> Iterator[App]:
    """Serve it as long as the context lasts."""
    # A test that ends early must not wait for answers that nobody reads any more.
    config = uvicorn.Config(app, log_level=100, lifespan="off", ws="none", timeout_graceful_shutdown=0, **options)
    serving = server(config)
    # asyncio sends small answers without delay (40 ms) only on sockets that name their protocol.
    with socket.socket(proto=socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(2048)
        app.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=serving.run, args=([listening],), name=type(app).__name__)
        thread.start()
        try:
            yield app
        finally:
            serving.should_exit = True
            thread.join()
