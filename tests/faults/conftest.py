"""Readings through a fault proxy: the command, a page server that counts, and an outside judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import judge
from tests.faults.marks import Page, document
from tests.faults.proxy import FaultProxy, fault_proxy
from tests.faults.server import MODEL, PageServer, page_server
from tests.faults.wire_faults import GENERATE, Fault, Kind, Plan, nothing, nth
from tests.support.commands import Hearth, Outcome, PrefectServer
from tests.support.environment import clean
from tests.support.ollama.scripted import ScriptedOllama, says
from tests.support.waiting import PATIENCE

QUICK = {
    "HEARTH_READ__LONGEST_SIDE": "256",
    # A page takes a tenth of a second. What hangs is waited for so long; what is only slow on a busy machine is not.
    "HEARTH_READ__TIMEOUT_SECONDS": "10",
    "HEARTH_READ__TIMEOUT_LEAST_SECONDS": "10",
    "HEARTH_READ__RETRY_SECONDS": str(PATIENCE),
}


@dataclass
class Stage:
    """A page server behind a proxy, and the command that reads through it.

    Attributes:
        directory: of documents and results.
    """

    directory: Path
    server: PageServer
    proxy: FaultProxy
    hearth: Hearth

    @property
    def settings(self) -> dict[str, str]:
        return QUICK | {"HEARTH_URL": self.proxy.url, "HEARTH_MODEL": MODEL}

    @property
    def output(self) -> Path:
        return self.directory / "results"

    def document(self, identifier: int, pages: int) -> Path:
        return document(self.directory, identifier, pages)

    def read(self, identifier: int, pages: int, *arguments: str, **environment: str) -> Outcome:
        """`hearth read` of a document of so many pages."""
        path = self.document(identifier, pages)
        return self.hearth.read(path, *arguments, **{**self.settings, **environment})

    def start(self, identifier: int, pages: int, *arguments: str, **environment: str):
        path = self.document(identifier, pages)
        return self.hearth.start("read", path, "--json", *arguments, **{**self.settings, **environment})

    def stored(self, identifier: int) -> list[Path]:
        """The files of pages so far."""
        return sorted(self.output.glob(f"document-{identifier:05d}-*/pages/????.json"))

    def attempts(self, identifier: int, number: int) -> list[dict]:
        """What the manifest tells of a page's attempts."""
        return judge.entries_in(judge.found_in(self.output, identifier))[number]["attempts"]

    def troubles(self, identifier: int, pages: int) -> list[str]:
        return judge.troubles(self.output, identifier, pages)

    def read_more_than_once(self, identifier: int) -> dict[Page, int]:
        """Pages of a document that the server began with more than once."""
        return {page: count for page, count in self.server.read.items() if page.document == identifier and count > 1}


Staged = Callable[..., Stage]


@pytest.fixture(scope="module")
def staged(
    session_home: Path, session_prefect: PrefectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Staged]:
    """Makes stages, which end with the module."""
    shared = {
        "HEARTH_HOME": str(session_home),
        "PREFECT_HOME": str(session_home / "prefect"),
        "PREFECT_API_URL": session_prefect.api,
    }
    with ExitStack() as stack:

        def made(plan: Plan = nothing, slots: int = 2, seconds: float = 0.1) -> Stage:
            directory = tmp_path_factory.mktemp("stage")
            server = stack.enter_context(page_server(directory, slots, seconds))
            proxy = stack.enter_context(fault_proxy(server.url, plan))
            return Stage(directory, server, proxy, Hearth(directory, {**clean(), **shared}))

        yield made


@pytest.fixture
def proxied(server: ScriptedOllama) -> Iterator[Callable[..., FaultProxy]]:
    """A proxy before the scripted server; the first request to /api/generate gets the fault."""
    server.answers(GENERATE, says(response="Hello.", done=True))
    with fault_proxy(server.url) as proxy:

        def made(kind: Kind | None = None, seconds: float = 0.0, plan: Plan | None = None) -> FaultProxy:
            proxy.plan = plan or nth(GENERATE, {1: Fault(kind, seconds)} if kind else {})
            return proxy

        yield made
