"""SIMULATED: an Application Load Balancer, as a small real reverse proxy.

What it does as AWS's does: a request goes to the healthy target with the least outstanding requests; targets are asked
for their health, and get their first request when they have answered well twice, none after they have not twice; one
that is deregistered gets no new requests, and those in flight end. It has one node, where AWS has one a zone.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.support.in_thread import in_thread
from tests.support.waiting import PATIENCE, until

_CHECK_SECONDS = 0.1
_THRESHOLD = 2
_PROBE_TOKENS = 16
"""What the warm-up measures with asks for so few."""


@dataclass
class Target:
    """A task as the balancer sees it.

    Attributes:
        url, health_url: where requests and health checks go.
        healthy, draining: its state; neither is `initial` or `unhealthy`.
        outstanding: requests for text that it has not answered.
        most: of these at once, ever.
        pages: requests for text that it got, those of the warm-up left out.
    """

    url: str
    health_url: str
    healthy: bool = False
    draining: bool = False
    outstanding: int = 0
    most: int = 0
    pages: int = 0
    run: int = 0

    @property
    def state(self) -> str:
        return "draining" if self.draining else "healthy" if self.healthy else "unhealthy"

    def heard(self, *, well: bool) -> None:
        """Take a health check's answer into account."""
        self.run = (max(self.run, 0) + 1) if well else (min(self.run, 0) - 1)
        if abs(self.run) >= _THRESHOLD:
            self.healthy = self.run > 0


@dataclass
class Balancer:
    """The balancer. Its targets may be changed from any thread.

    Attributes:
        refused: requests that found no healthy target.
    """

    url: str = ""
    targets: dict[str, Target] = field(default_factory=dict)
    refused: int = 0

    def drain(self, name: str) -> None:
        """Deregister a target, and wait until it has answered what it had."""
        target = self.targets[name]
        target.draining = True
        until(lambda: not target.outstanding)
        del self.targets[name]

    @property
    def in_flight(self) -> int:
        """Requests for text at all targets just now, those to targets that drain included."""
        return sum(target.outstanding for target in list(self.targets.values()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application."""
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        fit = [target for target in list(self.targets.values()) if target.healthy and not target.draining]
        if not fit:
            self.refused += 1
            await Response("<html>503 Service Temporarily Unavailable</html>", 503)(scope, receive, send)
            return
        target = min(fit, key=lambda each: each.outstanding)
        asked = json.loads(body) if request.url.path == "/api/generate" else {}
        text = bool(asked.get("prompt"))
        target.pages += text and asked["options"]["num_predict"] > _PROBE_TOKENS
        self._count(target, text, 1)
        try:
            answer = await self._forwarded(request, target, body, receive)
        finally:
            self._count(target, text, -1)
        if answer is not None:
            await answer(scope, receive, send)

    async def _forwarded(self, request: Request, target: Target, body: bytes, receive: Receive) -> Response | None:
        work = asyncio.ensure_future(
            self._client.request(
                request.method,
                target.url + request.url.path,
                content=body,
                headers={"Content-Type": "application/json"},
            )
        )
        gone = asyncio.ensure_future(receive())  # what comes next is the client's going
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                return None
            found = work.result()
            return Response(found.content, found.status_code, media_type=found.headers.get("content-type"))
        except httpx.HTTPError:
            return Response("<html>502 Bad Gateway</html>", 502)
        finally:
            gone.cancel()
            work.cancel()

    def _count(self, target: Target, text: bool, step: int) -> None:
        if text:
            target.outstanding += step
            target.most = max(target.most, target.outstanding)

    async def check(self) -> None:
        """Ask all targets for their health, for ever."""
        # A task that is told to go waits for its connections, those that nobody uses any more, too.
        limits = httpx.Limits(keepalive_expiry=0.2)
        async with httpx.AsyncClient(timeout=PATIENCE, limits=limits, trust_env=False, verify=False) as self._client:
            while True:
                for target in list(self.targets.values()):
                    well = False
                    with suppress(httpx.HTTPError):
                        well = (await self._client.get(target.health_url)).status_code == 200
                    target.heard(well=well)
                await asyncio.sleep(_CHECK_SECONDS)


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.checking = asyncio.create_task(self.config.app.check())
        await asyncio.sleep(0)
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self.checking.cancel()
        await asyncio.wait({self.checking})


@contextmanager
def balancer() -> Iterator[Balancer]:
    """One on a free port, in a thread of its own."""
    with in_thread(Balancer(), _Server) as app:
        yield app
