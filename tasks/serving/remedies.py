"""What a person can do about a model that a server cannot pull or load, or about slots that it does not have."""

from tasks.inference.names import canonical_name
from tasks.serving.parallelism import SERIAL_FAMILIES
from tasks.slots.ledger import Measured

EMBEDDED = "+embedded"
"""End of the embedded server's version."""

_OUT_OF_REACH = ("dial tcp", "no such host", "i/o timeout", "connection re", "tls", "x509", "proxyconnect", "eof")


def pull_failure(url: str, name: str, why: str, version: str = "") -> str:
    """Return why a server cannot pull a model, and what to do."""
    if version.endswith(EMBEDDED):
        return _not_embedded(url, name)
    failure = f"The model {name!r} cannot be pulled by {url}: {why.rstrip('.')}."
    lower = why.lower()
    if "no space left" in lower:
        return f"{failure} Make room on the server's disk, or choose a smaller model with --model."
    if any(text in lower for text in _OUT_OF_REACH):
        return f"{failure} Give it access to its registry (network, HTTPS_PROXY), or bring the model there by hand."
    return f"{failure} Check its name (https://ollama.com/library), or choose another with --model."


def _not_embedded(url: str, name: str) -> str:
    if canonical_name(name).startswith("registry.ollama.ai/library/tesseract:"):
        language = name.rpartition(":")[2]
        return (
            f"The embedded server at {url} has no Tesseract data for {language!r}. Put {language}.traineddata into a "
            "directory, and set HEARTH_TESSDATA to it."
        )
    return (
        f"The embedded server at {url} reads with Tesseract, and cannot run the model {name!r}. Use "
        "--backend ollama, set HEARTH_URL to a server that has the model, or leave out --model."
    )


def load_failure(name: str, family: str, why: str) -> str:
    """Return why a server cannot use a model, and what to do."""
    if family == "mllama" or "mllama" in why:
        remedy = "Ollama since 0.30 cannot load this family: use OLLAMA_VERSION=0.24.0, or --model qwen2.5vl:7b"
    elif "memory" in why:
        remedy = "Use a smaller model, --num-ctx or --slots, or a machine with more memory"
    elif "exceeds file size" in why or "digest" in why:
        remedy = f"Its file is damaged: delete it on the server (ollama rm {name}) and pull it again"
    else:
        remedy = "Choose another with --model, or repair the server"
    return f"The model {name!r} cannot be used: {why.rstrip('.')}. {remedy}."


def shortfall(requested: int, measured: Measured, family: str, started_for: int | None) -> str | None:
    """Return why fewer slots can be used than were requested, and what to do; None if there are as many.

    Hearth started the server for so many requests at once; None if someone else did, or it is not known.
    """
    if measured.slots >= requested:
        return None
    slots = f"{measured.slots} of the {requested} slots requested: "
    if family in SERIAL_FAMILIES:
        return slots + f"Ollama serves models of the family {family} one request at a time."
    if started_for is not None and measured.slots >= started_for:
        return slots + (
            f"Hearth's own server, which was still warm, was started for {started_for}. "
            f"Run `hearth stop`: the next run starts one for {requested}."
        )
    if started_for is not None:
        return slots + (
            f"the server works on no more at once, though it was started for {started_for}. See its log; less "
            "memory for each request (--num-ctx) may help."
        )
    return slots + (
        f"the server works on no more at once. Start it with OLLAMA_NUM_PARALLEL={requested} (Ollama's default is 1), "
        f"or request no more than --slots {measured.slots}."
    )
