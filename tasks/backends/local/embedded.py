"""The embedded server: Ollama's API over a real OCR engine, on this machine's CPU."""

import os
import sys
from importlib.metadata import version
from importlib.util import find_spec

from tasks.backends.base import Allocation
from tasks.backends.local.lease import LocalBackend
from tasks.backends.local.server import ServerSpec
from tasks.backends.registration import Registration
from tasks.core.environment import MACHINE
from tasks.core.finding import Finding, Findings, State
from tasks.core.jobs import BackendName
from tasks.settings.settings import Settings

_INHERITED = (*MACHINE, "HEARTH_TESSDATA", "OMP_*")


def offer(settings: Settings) -> str | None:
    """Return why `auto` takes this backend, which is always there."""
    del settings
    return "no server's address is set and no ollama is on PATH"


async def check(settings: Settings) -> Findings:
    """Check whether the engine and its data are installed."""
    from tasks.embedded.errors import RequestError
    from tasks.embedded.models import Store, full_name

    if find_spec("tesserocr") is None:
        yield Finding(State.MISSING, "tesserocr is not installed.", "Reinstall Hearth in this environment.")
        return
    model = settings.model or EmbeddedBackend.default_model
    store = Store(settings.home / "embedded" / "models")
    try:
        installed = store.find(model)
        source = installed.weights if installed else store.source(full_name(model))
    except RequestError:
        why = f"There is no Tesseract data for {model}."
        remedy = "Name tesseract:eng, or put <language>.traineddata into a directory that HEARTH_TESSDATA names."
        yield Finding(State.MISSING, why, remedy)
        return
    yield Finding(State.OK, f"{model} reads with {source}.")


class EmbeddedBackend(LocalBackend):
    """Tesseract behind Ollama's API."""

    name = BackendName.EMBEDDED
    default_model = "tesseract:eng"
    default_slots = os.cpu_count() or 1

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._models = settings.home / "embedded" / "models"

    def describe(self) -> str:
        """See `Backend`."""
        return "the embedded server (Tesseract on this machine's CPU)"

    async def digest(self, model: str) -> str | None:
        """See `Backend`."""
        from tasks.embedded.errors import InvalidNameError
        from tasks.embedded.models import installed_digest

        try:
            return installed_digest(model, self._models)
        except InvalidNameError:
            return None  # the server says so when it pulls the model

    async def acquire(self, slots: int, holder: str, replicas: int = 1) -> Allocation:
        """See `Backend`."""
        del holder, replicas

        def command(port: int) -> list[str]:
            return [
                *(sys.executable, "-P", "-m", "tasks.embedded", "--host", "127.0.0.1", "--port", str(port)),
                *("--num-parallel", str(slots), "--models", str(self._models)),
            ]

        # The interpreter identifies the installation, so that none reuses a server of another version.
        variant = f"{sys.executable} {version('hearth-pages')} {slots} {self._models}"
        spec = ServerSpec("embedded", command, "/api/version", variant, slots=slots, inherits=_INHERITED)
        return await self.start(spec, slots)


REGISTRATION = Registration(
    name=EmbeddedBackend.name, open=EmbeddedBackend, check=check, offer=offer, slot_per_core=True
)
