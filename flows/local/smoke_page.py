"""Read the page of a smoke test with `hearth read`, in a process of its own that can be ended."""

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

_STOP_SECONDS = 30.0


@dataclass
class PageReader:
    """A process that reads the first page of the sample on a backend."""

    target: Target
    _process: subprocess.Popen[str] | None = None
    _directory: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)

    def read(self) -> Manifest:
        """Read the page, and return the run's manifest.

        Raises:
            UnavailableError: the page was not read; the message is the run's own.
        """
        from tasks.documents.sample import write_sample

        self._directory = tempfile.TemporaryDirectory(prefix="hearth-smoke-")
        directory = Path(self._directory.name)
        write_sample(directory / "sample.pdf")
        command = [sys.executable, "-P", "-m", "flows.cli.main", "read", str(directory / "sample.pdf")]
        options = {"--output": directory / "results", **self.target.read_options}
        # In a session of its own, so that Ctrl-C at the terminal does not reach it before `stop` does.
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, *(str(part) for pair in options.items() for part in pair), "--force", "--json"],
            env={**os.environ, **self.target.environment},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        out, _ = self._process.communicate()
        outcome = _last_json(out)
        if self._process.returncode != 0:
            details = [failure.get("detail") for failure in outcome.get("failures", ())]
            why = next(filter(None, (outcome.get("error"), *details)), "see the messages above")
            raise UnavailableError(f"The page was not read: {why}")
        manifest = ResultStore(Path(str(outcome["output"]))).manifest()
        if manifest is None or manifest.pages.read != 1:
            raise UnavailableError("The page was not read: the run's manifest does not list it as read.")
        return manifest

    def stop(self) -> None:
        """End the process if it still runs, and delete what it stored."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._directory is not None:
            self._directory.cleanup()


def _last_json(out: str) -> dict[str, Any]:
    """Return the last line of an output if it is a JSON object, else an empty one."""
    with suppress(ValueError, IndexError):
        value = json.loads(out.strip().splitlines()[-1])
        return value if isinstance(value, dict) else {}
    return {}
