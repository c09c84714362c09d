"""Check whether a server answers, and has the model. Nothing is started or loaded."""

from tasks.core.errors import TransientError
from tasks.core.finding import Finding, Findings, State
from tasks.inference.client import InferenceClient
from tasks.inference.names import canonical_name
from tasks.serving.capabilities import Capabilities


async def check_server(client: InferenceClient, model: str) -> Findings:
    """Check a server's version and model.

    Raises:
        ModelError: the model cannot read images.
        HearthError: the server refuses.
    """
    try:
        version = await client.version()
        name = f"Ollama {version}" if version[:1].isdigit() else version
        yield Finding(State.OK, f"{name} answers at {client.url}.")
        models = {canonical_name(each.name): each for each in await client.models()}
        if (listed := models.get(canonical_name(model))) is None and not client.downloads:
            names = ", ".join(each.name for each in models.values()) or "none"
            yield Finding(State.MISSING, f"It does not offer the model {model}.", f"Choose one of its own: {names}.")
            return
        if listed is None:
            yield Finding(State.OK, f"The model {model} is not on it: the first run pulls it.")
            return
        Capabilities.of(model, listed, await client.details(listed.name)).require_vision()
        yield Finding(State.OK, f"The model {model} is on it.")
    except TransientError as error:
        why = f"{client.url} gives no answer: {str(error).rstrip('.')}."
        yield Finding(State.MISSING, why, "Start the server, or correct its address.")
