"""Get a model warm: reachable, present, loaded with the options of the pages, and measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import stamina

from tasks.core.errors import ModelError, PageError, PassingError, ServerError
from tasks.core.events import Progress, Pulling, RunWarning, WarmStep, emit, timed
from tasks.core.replicas import Replicas
from tasks.ollama.client import GenerateRequest, LoadedModel, Model, OllamaClient
from tasks.ollama.schema import find_model
from tasks.serving.capabilities import Capabilities
from tasks.serving.parallelism import _measure_each, _shortfall
from tasks.settings.reading import WarmSettings
from tasks.slots.capacity import agreed_capacity
from tasks.slots.ledger import Measured
from tasks.slots.store import LedgerStore

T = TypeVar("T")

# Ollama runs one request at a time for these, whatever OLLAMA_NUM_PARALLEL says (server/sched.go, v0.33).

# Requests served one right after the other touch at their ends by a clock's error; this part of each is left out.
# A round tells too little when the machine is busy with other things just then; the best of these counts.


@dataclass(frozen=True)
class Warmth:
    """A model that is loaded and was measured.

    Attributes:
        digest: the model's, 64 hex digits.
        family: the model's, such as qwen25vl.
        measured: how many requests the server really serves at once.
        note: why it is fewer than was asked for, or where the model runs; None if there is nothing to tell.
        thinks: the model can think, and is to be told not to.
    """

    digest: str
    family: str
    measured: Measured
    note: str | None = None
    thinks: bool = False


async def warm(
    client: OllamaClient,
    request: GenerateRequest,
    slots: int,
    limits: WarmSettings,
    *,
    ledger: LedgerStore,
    require_gpu: bool,
    parts: Replicas | None = None,
) -> Warmth:
    """Wait until the pages can start.

    Args:
        client: of the server; its timeout must exceed the load of the model.
        request: the options of the pages to come; the model is loaded with exactly these.
        slots: requests at once that are asked for, of each part.
        limits: the deadlines.
        ledger: of the server's slots: what other runs have measured is not measured again.
        require_gpu: a model that is not wholly in GPU memory is an error.
        parts: of the server, which are measured together.

    Raises:
        ServerError: the server does not answer, or goes on failing, until the deadline.
        ModelError: the model cannot be had, cannot be loaded, or does not fit.
    """
    deadline = time.monotonic() + limits.deadline_seconds
    emit(Progress(f"waiting for {client.url}"))
    with timed(WarmStep.ANSWER):
        await _until(min(deadline, time.monotonic() + limits.answer_seconds), client.version)
    asked = time.monotonic()
    model = await _until(deadline, lambda: _present(client, request.model), patience=limits.pull_seconds)
    deadline += time.monotonic() - asked
    details = await _until(deadline, lambda: client.details(request.model))
    capabilities = Capabilities.of(request.model, model, details)
    capabilities.require_vision()
    request = replace(request, thinks=capabilities.thinks)
    emit(Progress(f"loading {request.model}"))
    try:
        with timed(WarmStep.LOAD):
            await _until(deadline, lambda: client.load(request))
        loaded = _running(request.model, await _until(deadline, client.loaded))
        placed = _placement(request.model, loaded, require_gpu=require_gpu)
        suited = capabilities.notes(loaded, request.num_ctx)
        for told in filter(None, (placed, *suited)):
            emit(RunWarning(told))
        emit(Progress(f"measuring how many requests {request.model} serves at once"))
        what = f"{model.digest[:12]}, num_ctx {request.num_ctx}"
        with timed(WarmStep.MEASURE):
            measured = await _until(
                deadline,
                lambda: agreed_capacity(
                    ledger, what, slots, lambda: _measure_each(client, request, slots, parts or Replicas())
                ),
            )
    except ModelError as error:
        raise ModelError(_load_failure(request.model, details.family, str(error))) from None
    note = _shortfall(slots, measured.slots, details.family)
    if note:
        emit(RunWarning(note))
    notes = " ".join(filter(None, (note, placed, *suited)))
    return Warmth(model.digest, details.family, measured, notes or None, capabilities.thinks)


async def _until(deadline: float, call: Callable[[], Awaitable[T]], *, patience: float | None = None) -> T:
    """Repeat a call while it meets passing errors, to the deadline; a download may go on for `patience` seconds."""
    left = max(0.01, deadline - time.monotonic())
    said = "it has not answered"

    async def heard() -> T:
        nonlocal said
        try:
            return await call()
        except PassingError as error:
            said = str(error).rstrip(".")
            raise

    try:
        async with asyncio.timeout(left if patience is None else patience):
            async for attempt in stamina.retry_context(
                on=PassingError, attempts=None, timeout=left, wait_initial=0.1, wait_max=5.0, wait_jitter=0.1
            ):
                with attempt:
                    return await heard()
    except (TimeoutError, PassingError):
        raise ServerError(
            f"The server did not get warm before the deadline: {said}. Mend it, or raise HEARTH_WARM__DEADLINE_SECONDS."
        ) from None
    except PageError as error:
        raise ServerError(f"The server does not take Hearth's requests. {error}") from None
    raise AssertionError("the loop returns or raises")


async def _present(client: OllamaClient, name: str) -> Model:
    """The model on the server's disk, pulled if it is missing."""
    model = find_model(name, await client.models())
    if model is None:
        emit(Progress(f"pulling {name}"))
        try:
            with timed(WarmStep.PULL):
                async for step in client.pull(name):
                    emit(Pulling(step.status, step.completed, step.total))
        except ModelError as error:
            raise ModelError(
                f"The model {name!r} cannot be pulled by {client.url}: {error}. "
                "Check its name (https://ollama.com/library), or choose another with --model."
            ) from None
        model = find_model(name, await client.models())
    if model is None:
        raise ModelError(f"{client.url} says that it pulled {name!r}, but does not list it. Pull it there by hand.")
    return model


def _running(name: str, loaded: tuple[LoadedModel, ...]) -> LoadedModel | None:
    """The model in the server's memory."""
    return next((model for model in loaded if model.name.removesuffix(":latest") == name.removesuffix(":latest")), None)


def _placement(name: str, model: LoadedModel | None, *, require_gpu: bool) -> str | None:
    """What is to be told of where the model runs. Ollama itself spills to the CPU silently (ollama#14258)."""
    if model is None and require_gpu:
        raise ModelError("the server does not tell where it runs it, so that --require-gpu cannot be met")
    if model is None or model.size_vram >= model.size:
        return None
    where = f"{model.size_vram / 1e9:.1f} of its {model.size / 1e9:.1f} GB are in GPU memory, the rest runs on the CPU"
    if require_gpu:
        raise ModelError(f"{where}. Use a machine with more GPU memory, a smaller --num-ctx, or fewer --slots")
    return None if model.size_vram == 0 else f"{name}: {where}. Pages will be slow."


def _load_failure(name: str, family: str, why: str) -> str:
    if family == "mllama" or "mllama" in why:
        remedy = "Ollama since 0.30 cannot load this family: use OLLAMA_VERSION=0.24.0, or --model qwen2.5vl:7b"
    elif "memory" in why:
        remedy = "Use a smaller model, --num-ctx or --slots, or a machine with more memory"
    else:
        remedy = "Choose another with --model, or mend the server"
    return f"The model {name!r} cannot be used: {why.rstrip('.')}. {remedy}."
