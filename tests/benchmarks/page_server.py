"""The embedded server with the sleeping engine, and one endpoint more: OpenAI's, which olmOCR speaks.

`python -m tests.benchmarks.page_server SLOTS` listens on a free port of loopback, prints its address, and serves until
it is stopped.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message

from tasks.embedded.custom import CustomStore
from tasks.embedded.models import DEFAULT_MODEL
from tasks.embedded.server import build_app, serve
from tests.benchmarks.engines import sleeping


def build(slots: int) -> Starlette:
    """The application."""
    app = build_app(CustomStore("tests.benchmarks.engines:sleeping"), sleeping, num_parallel=slots)
    chat = next(route for route in app.router.routes if isinstance(route, Route) and route.path == "/api/chat")

    async def completions(request: Request) -> Response:
        asked = json.loads(await request.body())
        parts = [part for message in asked["messages"] for part in message["content"]]
        images = [part["image_url"]["url"].partition(",")[2] for part in parts if part["type"] == "image_url"]
        message = {"role": "user", "content": "Read.", "images": images}
        body = json.dumps({"model": DEFAULT_MODEL, "stream": False, "messages": [message]}).encode()
        sent = False

        async def receive() -> Message:
            nonlocal sent
            if sent:
                await asyncio.Event().wait()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        answer: Response = await chat.endpoint(Request(request.scope, receive))
        return JSONResponse(_completion(json.loads(bytes(answer.body))), answer.status_code)

    app.router.routes.append(Route("/v1/chat/completions", completions, methods=["POST"]))
    return app


def _completion(said: dict[str, Any]) -> dict[str, Any]:
    if "error" in said:
        return said
    tokens = {"prompt_tokens": said["prompt_eval_count"], "completion_tokens": said["eval_count"]}
    return {
        "object": "chat.completion",
        "model": said["model"],
        "choices": [{"index": 0, "finish_reason": said["done_reason"], "message": said["message"]}],
        "usage": {**tokens, "total_tokens": sum(tokens.values())},
    }


if __name__ == "__main__":
    logging.getLogger("uvicorn").setLevel("WARNING")
    # A socket that names its protocol: asyncio sends small answers at once only on those.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)  # noqa: T201
        serve(listener, build(int(sys.argv[1])))
