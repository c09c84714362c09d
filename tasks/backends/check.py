"""Servers that can be asked now: whether they answer, and whether they have the model. Nothing is started or loaded."""

from __future__ import annotations

from tasks.core.errors import TransientError
from tasks.core.finding import Finding, Findings, State
from tasks.inference.client import InferenceClient
from tasks.ollama.names import canonical_name
from tasks.serving.capabilities import Capabilities


async def check_server(client: InferenceClient, model: str) -> Findings:
    """Ask a server for its version and the model.

    Raises:
        ModelError: the model cannot read images.
        HearthError: the server refuses.
    """
    try:
        version = await client.version()
        name = f"Ollama {version}" if version[:1].isdigit() else version
        yield Finding(State.OK, f"{name} answers at {client.url}.")
        known = {canonical_name(each.name): each for each in await client.models()}.get(canonical_name(model))
        if known is None and not client.downloads:
            models = ", ".join(listed.name for listed in await client.models()) or "none"
            yield Finding(State.MISSING, f"It does not offer the model {model}.", f"Choose one of its own: {models}.")
            return
        if known is None:
            yield Finding(State.OK, f"The model {model} is not on it: the first run pulls it.")
            return
        Capabilities.of(model, known, await client.details(known.name)).require_vision()
        yield Finding(State.OK, f"The model {model} is on it.")
    except TransientError as error:
        why = f"{client.url} gives no answer: {str(error).rstrip('.')}."
        yield Finding(State.MISSING, why, "Start the server, or correct its address.")
