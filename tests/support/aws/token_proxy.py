"""TLS and a bearer token before a machine's Ollama: `-m tests.support.aws.token_proxy HOST PORT TARGET DIRECTORY`.

Simulated: it behaves as nginx with infra_scripts/machine/nginx.conf does.
DIRECTORY holds certificate.pem, key.pem and token.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

NOT_PASSED = {"host", "authorization", "connection", "transfer-encoding", "content-length"}


class TokenProxy:
    """The application."""

    def __init__(self, target: str, token: str) -> None:
        self._client = httpx.AsyncClient(base_url=target, timeout=3600, trust_env=False, verify=False)
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if it has the token; a client that goes away ends it."""
        request = Request(scope, receive)
        if request.headers.get("authorization") != f"Bearer {self._token}":
            return await Response("401 Authorization Required", 401)(scope, receive, send)
        with suppress(ClientDisconnect):
            body = await request.body()
            work = asyncio.ensure_future(self._ask(request, body))
            gone = asyncio.ensure_future(receive())
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if work.done():
                return await work.result()(scope, receive, send)
            work.cancel()
        return None

    async def _ask(self, request: Request, body: bytes) -> Response:
        headers = {name: value for name, value in request.headers.items() if name not in NOT_PASSED}
        asked = self._client.build_request(request.method, request.url.path, content=body, headers=headers)
        try:
            answer = await self._client.send(asked, stream=True)
        except httpx.TransportError:
            return Response("502 Bad Gateway", 502)

        async def chunks() -> AsyncIterator[bytes]:
            try:
                async for chunk in answer.aiter_raw():
                    yield chunk
            finally:
                await answer.aclose()

        passed = {name: value for name, value in answer.headers.items() if name not in NOT_PASSED}
        return StreamingResponse(chunks(), answer.status_code, passed)


def main(host: str, port: str, target: str, directory: str) -> None:
    """Serve until killed."""
    files = Path(directory)
    app = TokenProxy(target, (files / "token").read_text())
    certificate, key = files / "certificate.pem", files / "key.pem"
    uvicorn.run(
        app, host=host, port=int(port), ssl_certfile=certificate, ssl_keyfile=key, lifespan="off", log_level="warning"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
