"""Get a model warm on a scripted server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tasks.inference.schema import GenerateRequest
from tasks.ollama.client import OllamaClient
from tasks.serving.warmup import Adapt, Warmth, warm
from tasks.settings.reading import WarmSettings
from tasks.slots.store import FileStore
from tests.support.ollama.scripted import Say, says
from tests.support.ollama.wire import DIGEST, MODEL
from tests.support.waiting import PATIENCE

REQUEST = GenerateRequest(MODEL, num_ctx=8192, num_predict=4096, keep_alive=600)
LISTED = says(models=[{"name": MODEL, "digest": DIGEST}])


async def warmed(
    client: OllamaClient,
    slots: int = 1,
    deadline: float = PATIENCE,
    *,
    require_gpu: bool = False,
    adapt: Adapt | None = None,
    schema: str = "",
) -> Warmth:
    limits = WarmSettings(deadline_seconds=deadline)
    ledger = FileStore.of(Path(), client.url)  # the test's own directory
    request = replace(REQUEST, schema=schema)
    return await warm(client, request, slots, limits, ledger=ledger, require_gpu=require_gpu, adapt=adapt)


def family(name: str) -> Say:
    return says(details={"family": name})
