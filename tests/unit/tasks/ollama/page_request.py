"""A request for a page."""

from __future__ import annotations

from tasks.inference.schema import GenerateRequest
from tasks.ollama.client import OllamaClient
from tests.support.ollama.wire import MODEL

REQUEST = GenerateRequest(MODEL, num_ctx=8192, num_predict=4096, keep_alive=600)
PROMPT = "Transcribe the secret page."
IMAGE = b"\x89PNG the bytes of a secret page"


async def generate(client: OllamaClient):
    return await client.generate(REQUEST, PROMPT, (IMAGE,))
