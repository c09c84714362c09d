"""The page of a trial: read by `hearth read` in a process of its own, which cannot keep the trial from its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.errors import UnavailableError
from tasks.results.store import ResultStore

if TYPE_CHECKING:
    from flows.local.smoke_target import Target
    from tasks.results.manifest import Manifest

_WIND_UP_SECONDS = 30.0


@dataclass
class PageReader:
    """Has the first page of the sample read on a backend."""

    target: Target
    _process: subprocess.Popen[str] | None = None
    _directory: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    def read(self) -> Manifest:
        """Read the page, and return the run's account.

        Raises:
            UnavailableError: it was not read; why is what the run said.
        """
        from tasks.documents.sample import write_sample

        self._directory = tempfile.TemporaryDirectory(prefix="hearth-smoke-")
        place = Path(self._directory.name)
        write_sample(place / "sample.pdf")
        command = [sys.executable, "-P", "-m", "flows.cli.main", "read", str(place / "sample.pdf")]
        options = {"--output": place / "results", **self.target.read_options}
        # A session of its own: Ctrl-C at the terminal reaches it by `stop`, in its turn.
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, *(str(part) for pair in options.items() for part in pair), "--force", "--json"],
            env={**os.environ, **self.target.environment},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        out, _ = self._process.communicate()
        told = _last_json(out)
        if self._process.returncode != 0:
            failed = [each.get("detail") for each in told.get("failures", ())]
            why = next(filter(None, (told.get("error"), *failed)), "see what it said above")
            raise UnavailableError(f"The page was not read: {why}")
        manifest = ResultStore(Path(str(told["output"]))).manifest()
        if manifest is None or manifest.pages.read != 1:
            raise UnavailableError("The page was not read: the run's account does not list it as read.")
        return manifest

    def stop(self) -> None:
        """End the run, if it goes on, and forget what it stored."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_WIND_UP_SECONDS)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._directory is not None:
            self._directory.cleanup()


def _last_json(out: str) -> dict[str, Any]:
    lines = out.strip().splitlines()
    with suppress(ValueError, IndexError):
        found = json.loads(lines[-1])
        if isinstance(found, dict):
            return found
    return {}
