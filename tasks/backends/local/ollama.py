"""An Ollama on this machine: used if it answers, else started, and then stopped when idle."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from tasks.backends.base import Allocation, Endpoint, Release
from tasks.backends.check import check_server
from tasks.backends.local.local_allocation import local_allocation
from tasks.backends.local.server import ServerSpec, lease_server
from tasks.backends.local.server_state import local_servers
from tasks.core.environment import MACHINE
from tasks.core.errors import InputError, ServerError, TransientError
from tasks.core.finding import Finding, Findings, State
from tasks.core.jobs import BackendName
from tasks.core.network import is_loopback
from tasks.core.scaling import Scale
from tasks.ollama.address import DEFAULT_PORT, server_url
from tasks.ollama.client import OllamaClient
from tasks.ollama.names import canonical_name
from tasks.serving.clients import DIGEST_SECONDS, fetch_digest
from tasks.settings.settings import Settings
from tasks.slots.store import FileStore

_PROBE_SECONDS = 2.0
# Its own settings, and those of the drivers and runtimes that it computes with.
_INHERITED = (
    *(*MACHINE, "OLLAMA_*", "GGML_*", "LLAMA_ARG_*", "CUDA_*", "NVIDIA_*", "HIP_*", "HSA_*", "ROCR_*", "ROCM_*"),
    *("GPU_*", "VK_*", "ZE_*", "ONEAPI_*", "SYCL_*", "OMP_*", "GOMAXPROCS", "GOMEMLIMIT", "GODEBUG"),
)


def offer(settings: Settings) -> str | None:
    """Why `auto` takes this backend; None if it does not."""
    del settings
    binary = shutil.which("ollama")
    return f"ollama is on PATH ({binary})" if binary else None


async def check(settings: Settings) -> Findings:
    """See whether it answers or can be started, and whether it has the model."""
    backend = OllamaBackend(settings)
    model = settings.model or backend.default_model
    if await backend.answers():
        async with OllamaClient(backend.url, timeout=_PROBE_SECONDS) as client:
            async for finding in check_server(client, model):
                yield finding
        return
    binary = shutil.which("ollama")
    if binary is None:
        why = f"No Ollama answers at {backend.url}, and none is on PATH."
        yield Finding(State.MISSING, why, "Install it: https://ollama.com/download")
        return
    yield Finding(State.OK, f"{binary} is started when a run needs it.")
    there = await backend.digest(model) is not None
    told = "is on this machine" if there else "is not on this machine: the first run pulls it"
    yield Finding(State.OK, f"The model {model} {told}.")


class OllamaBackend:
    """See the module."""

    name = BackendName.OLLAMA
    servers = 1
    default_model = "qwen2.5vl:7b"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.url = server_url(os.environ.get("OLLAMA_HOST") or "127.0.0.1", as_ollama=True)
        parallel = os.environ.get("OLLAMA_NUM_PARALLEL") or "4"
        if not parallel.isdecimal() or parallel == "0":
            raise InputError(f"OLLAMA_NUM_PARALLEL is {parallel!r}. Set it to a number from 1 up, or unset it.")
        self.default_slots = int(parallel)

    def describe(self) -> str:
        """See `Backend`."""
        return f"Ollama on this machine, at {self.url}"

    async def digest(self, model: str) -> str | None:
        """See `Backend`. Asked of a server that is up, else computed as Ollama does: the manifest file's sha256."""
        answered = await fetch_digest(OllamaClient(self.url, timeout=DIGEST_SECONDS), model)
        if answered is not None:
            return answered
        root = Path(os.environ.get("OLLAMA_MODELS") or Path.home() / ".ollama" / "models") / "manifests"
        return await asyncio.to_thread(_digest_on_disk, root, canonical_name(model))

    def scale(self, slots: int) -> Scale:
        """See `Backend`."""
        del slots
        return Scale()

    async def acquire(self, slots: int, holder: str, parts: int = 1) -> Allocation:
        """See `Backend`."""
        del parts
        if await self.answers() and not self._is_ours():
            return Allocation(self.name, Endpoint(self.url), slots, FileStore.of(self._settings.home, self.url))
        binary = shutil.which("ollama")
        if binary is None:
            raise ServerError(
                f"No Ollama answers at {self.url} and none is on PATH. "
                "Install it (https://ollama.com/download), or use --backend embedded."
            )
        server = await lease_server(
            self._spec(binary, slots),
            self._settings.home,
            idle_seconds=self._settings.idle_minutes * 60,
            deadline_seconds=self._settings.warm.deadline_seconds,
        )
        return local_allocation(self.name, server, slots, self._settings)

    async def release(self, allocation: Allocation, *, broken: bool = False) -> Release:
        """See `Backend`."""
        if allocation.lease is None:
            return Release("left as it was: Hearth did not start it")
        allocation.lease.release()
        return Release(f"stays warm for {self._settings.idle_minutes:g} min, then stops")

    async def answers(self) -> bool:
        """Whether one is up there now."""
        async with OllamaClient(self.url, timeout=_PROBE_SECONDS) as client:
            try:
                await client.version()
            except TransientError:
                return False
        return True

    def _is_ours(self) -> bool:
        """Whether Hearth started what answers there; localhost and ::1 are this machine, too."""
        mine = urlsplit(self.url)
        return any(
            server.name.startswith("ollama-") and urlsplit(server.url).port == mine.port
            for server in local_servers(self._settings.home)
            if is_loopback(mine.hostname or "")
        )

    def _spec(self, binary: str, slots: int) -> ServerSpec:
        port = urlsplit(self.url).port or DEFAULT_PORT

        def environment(port: int) -> dict[str, str]:
            # `ollama serve` takes no --host; both are read from the environment (envconfig/config.go).
            return {
                "OLLAMA_HOST": f"127.0.0.1:{port}",
                "OLLAMA_NUM_PARALLEL": str(slots),
                "OLLAMA_MAX_LOADED_MODELS": "1",
            }

        command = [binary, "serve"]
        return ServerSpec(
            "ollama", lambda _port: command, "/api/version", self.url, environment, port, slots, _INHERITED
        )


def _digest_on_disk(root: Path, name: str) -> str | None:
    """The digest of the manifest of a model's canonical name; files keep the case in which it was first pulled."""
    try:
        for path in root.glob("*/*/*/*"):
            *place, model, tag = path.relative_to(root).parts
            if canonical_name(f"{'/'.join(place)}/{model}:{tag}") == name:
                return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        pass
    return None
