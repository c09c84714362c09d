"""An Ollama on this machine: used if it answers, else started, and then stopped when idle."""

import asyncio
import hashlib
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from tasks.backends.base import Allocation, Endpoint
from tasks.backends.check import check_server
from tasks.backends.local.lease import LocalBackend
from tasks.backends.local.server import ServerSpec
from tasks.backends.local.server_state import local_servers
from tasks.backends.registration import Registration
from tasks.core.environment import MACHINE
from tasks.core.errors import InputError, ServerError, TransientError
from tasks.core.finding import Finding, Findings, State
from tasks.core.jobs import BackendName
from tasks.core.network import is_loopback
from tasks.inference.names import canonical_name
from tasks.ollama.address import DEFAULT_PORT, server_url
from tasks.ollama.client import OllamaClient
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
    """Return why `auto` takes this backend; None if it does not."""
    del settings
    binary = shutil.which("ollama")
    return f"ollama is on PATH ({binary})" if binary else None


async def check(settings: Settings) -> Findings:
    """Check whether it answers or can be started, and whether it has the model."""
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
    installed = await backend.digest(model) is not None
    where = "is on this machine" if installed else "is not on this machine: the first run pulls it"
    yield Finding(State.OK, f"The model {model} {where}.")


class OllamaBackend(LocalBackend):
    """Ollama at the address of OLLAMA_HOST."""

    name = BackendName.OLLAMA
    default_model = "qwen2.5vl:7b"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.url = server_url(os.environ.get("OLLAMA_HOST") or "127.0.0.1", as_ollama=True)
        parallel = os.environ.get("OLLAMA_NUM_PARALLEL") or "4"
        if not parallel.isdecimal() or parallel == "0":
            raise InputError(f"OLLAMA_NUM_PARALLEL is {parallel!r}. Set it to a number from 1 up, or unset it.")
        self.default_slots = int(parallel)

    def describe(self) -> str:
        """See `Backend`."""
        return f"Ollama on this machine, at {self.url}"

    async def digest(self, model: str) -> str | None:
        """See `Backend`. It is that of a running server, or computed as Ollama does: the manifest file's sha256."""
        if (digest := await fetch_digest(OllamaClient(self.url, timeout=DIGEST_SECONDS), model)) is not None:
            return digest
        root = Path(os.environ.get("OLLAMA_MODELS") or Path.home() / ".ollama" / "models") / "manifests"
        return await asyncio.to_thread(_digest_on_disk, root, canonical_name(model))

    async def acquire(self, slots: int, holder: str, replicas: int = 1) -> Allocation:
        """See `Backend`."""
        del holder, replicas
        if await self.answers() and not self._is_ours():
            return Allocation(self.name, Endpoint(self.url), slots, FileStore.of(self._settings.home, self.url))
        binary = shutil.which("ollama")
        if binary is None:
            raise ServerError(
                f"No Ollama answers at {self.url} and none is on PATH. "
                "Install it (https://ollama.com/download), or use --backend embedded."
            )
        return await self.start(self._spec(binary, slots), slots)

    async def answers(self) -> bool:
        """Return whether a server is up at its address."""
        async with OllamaClient(self.url, timeout=_PROBE_SECONDS) as client:
            try:
                await client.version()
            except TransientError:
                return False
        return True

    def _is_ours(self) -> bool:
        """Return whether Hearth started the server there; localhost and ::1 are this machine, too."""
        address = urlsplit(self.url)
        return any(
            server.name.startswith("ollama-") and urlsplit(server.url).port == address.port
            for server in local_servers(self._settings.home)
            if is_loopback(address.hostname or "")
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
    """Return the digest of a model's manifest. Files keep the case of the name that was first pulled."""
    try:
        for path in root.glob("*/*/*/*"):
            *parents, model, tag = path.relative_to(root).parts
            if canonical_name(f"{'/'.join(parents)}/{model}:{tag}") == name:
                return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        pass
    return None


REGISTRATION = Registration(name=OllamaBackend.name, open=OllamaBackend, check=check, offer=offer)
