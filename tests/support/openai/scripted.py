"""A real HTTP server with scripted answers, which otherwise answers like an OpenAI-compatible server with one model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tasks.inference.schema import Answer, GenerateRequest
from tasks.openai.client import OpenAIClient
from tests.support.in_thread import in_thread
from tests.support.ollama.scripted import Say, ScriptedOllama, says, streams

MODEL = "reader"
MODELS = "/v1/models"
CHAT = "/v1/chat/completions"
REQUEST = GenerateRequest(MODEL, num_ctx=8192, num_predict=100, keep_alive=60)


async def read(client: OpenAIClient, request: GenerateRequest = REQUEST) -> Answer:
    """Have a page read."""
    return await client.generate(request, "Read.", (b"PNG",))


class ScriptedOpenAI(ScriptedOllama):
    """The server. See `ScriptedOllama`; it has no path but those of OpenAI's API."""

    def reset(self) -> None:
        """Forget all calls, and answer with one model and one page again."""
        super().reset()
        self._script = {MODELS: [models(MODEL)], CHAT: [chat("Hello.")]}

    def only(self, answers: Mapping[str, Say], elsewhere: Say) -> None:
        """Give these answers by path, and another to every other path."""
        self._script = {path: [answer] for path, answer in answers.items()}
        self.elsewhere = elsewhere


def models(*names: str, **fields: Any) -> Say:
    """Return a list of models."""
    return says(object="list", data=[{"id": name, "object": "model", **fields} for name in names])


def event(value: object) -> bytes:
    """Return a server-sent event."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def delta(text: str | None, finish: str | None = None, **fields: Any) -> bytes:
    """Return an event that adds to an answer."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return event({"object": "chat.completion.chunk", "choices": [choice], **fields})


END = b"data: [DONE]\n\n"


def chat(*pieces: str, finish: str | None = "stop") -> Say:
    """Return an answer that is streamed in these pieces."""
    return streams(*map(delta, pieces), delta("", finish), END)


@contextmanager
def scripted_openai() -> Iterator[ScriptedOpenAI]:
    """Yield a scripted server on a free port of this machine, in a thread."""
    with in_thread(ScriptedOpenAI()) as app:
        yield app
