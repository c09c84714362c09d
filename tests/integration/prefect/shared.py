"""Commands that read from servers that count, for tests of what runs share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.benchmarks.page_times import write_pdf
from tests.support.commands import Hearth, Outcome
from tests.support.ollama.counting import CountingOllama, counting_ollama, run_settings
from tests.support.waiting import PATIENCE, until


@dataclass
class Readers:
    """Commands that read from counting servers, each into a directory of its own."""

    hearth: Hearth
    processes: dict[int, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, run: int, servers: Sequence[CountingOllama], pages: int, *options: str, **settings: str) -> None:
        """Start one."""
        pdf = self.hearth.directory / f"{pages}.pdf"
        if not pdf.exists():
            write_pdf(pdf, pages)
        self._start("read", run, servers, pdf, *options, **settings)

    def start_batch(self, run: int, server: CountingOllama, folder: Path, *options: str) -> None:
        """Start one that reads a folder of documents."""
        self._start("batch", run, [server], folder, *options)

    def _start(
        self, command: str, run: int, servers: Sequence[CountingOllama], source: Path, *options: str, **settings: str
    ) -> None:
        self.processes[run] = self.hearth.start(
            *(command, source, "--json", "--output", self.hearth.directory / str(run), *options),
            **{
                "HEARTH_URL": ",".join(server.url for server in servers),
                "HEARTH_WARM__ANSWER_SECONDS": str(PATIENCE),
                "HEARTH_READ__TIMEOUT_LEAST_SECONDS": str(PATIENCE),
                **run_settings(run),
                **settings,
            },
        )

    def until(self, done: Callable[[], bool], *but: int) -> None:
        """Wait for something, as long as all runs but those named go on."""

        def going_on() -> bool:
            for run, process in self.processes.items():
                assert run in but or process.poll() in {None, 0}, process.communicate()
            return done()

        until(going_on)

    def outcome(self, run: int) -> Outcome:
        """What one did, when it has."""
        out, err = self.processes[run].communicate(timeout=PATIENCE)
        return Outcome(self.processes[run].returncode, out, err)

    def end(self) -> None:
        """End what still runs."""
        for process in self.processes.values():
            process.kill()
            process.communicate()


@pytest.fixture
def readers(hearth: Hearth) -> Iterator[Readers]:
    started = Readers(hearth)
    yield started
    started.end()


@pytest.fixture
def counting() -> Iterator[Callable[..., CountingOllama]]:
    """Starts counting servers; they end with the test."""
    with ExitStack() as stack:
        yield lambda slots, seconds=0.5: stack.enter_context(counting_ollama(slots, seconds))


def whole(outcome: Outcome, pages: int) -> bool:
    """Whether a run read every page."""
    assert outcome.code == 0, outcome.err
    return all(f"The text of page {number}.\n" in outcome.document for number in range(1, pages + 1))
