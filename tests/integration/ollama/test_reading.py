"""Hearth reads through a program `ollama`, which is a stand-in over a real llama-server."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tasks.ollama.address import free_port
from tests.support import pdfs
from tests.support.commands import Hearth
from tests.support.ollama.stand_in.program import Program, runners
from tests.support.waiting import until


@pytest.fixture
def installed(hearth: Hearth, ollama_program: Program, tmp_path: Path) -> Iterator[Hearth]:
    """The command on a machine where `ollama` is on PATH, and nothing serves yet."""
    own = {"HEARTH_HOME": str(tmp_path / "home"), "PATH": ollama_program.path}
    command = Hearth(tmp_path, hearth.environment | own | {"OLLAMA_HOST": f"127.0.0.1:{free_port()}"})
    yield command
    command("stop", "--force")


def _server(command: Hearth) -> psutil.Process:
    """The `ollama serve` that Hearth started."""
    (record,) = Path(command.environment["HEARTH_HOME"]).glob("servers/ollama-*/server.json")
    watchdog = psutil.Process(json.loads(record.read_text())["watchdog_pid"])
    return next(each for each in watchdog.children() if "serve" in each.cmdline())


def test_pages_are_read_over_the_measured_slots_of_the_engine(installed: Hearth, tmp_path: Path):
    document = pdfs.written(tmp_path / "pages.pdf", *(f"Page {number}" for number in range(1, 5)))
    done = installed.read(document, "--backend", "ollama", "--model", "chain", "--slots", "2")
    assert done.code == 0, done.err
    assert done.page(1)["text"].startswith("the0 quick1 brown2 fox3")
    assert done.page(4)["text"].endswith("while99")
    (runner,) = runners(_server(installed).pid)
    command = psutil.Process(runner).cmdline()
    assert command[command.index("--parallel") + 1] == "2"


@pytest.mark.long("starts an engine: 6 s")
def test_data_are_read_over_ollamas_format(installed: Hearth, tmp_path: Path):
    document = pdfs.written(tmp_path / "page.pdf", "Page")
    schema = tmp_path / "schema.json"
    properties = {"kind": {"enum": ["invoice", "letter"]}, "pages": {"type": "integer", "minimum": 1, "maximum": 9}}
    schema.write_text(json.dumps({"type": "object", "properties": properties, "required": ["kind", "pages"]}))
    done = installed.read(document, "--backend", "ollama", "--model", "chain", "--schema", schema)
    assert done.code == 0, done.err
    data = done.page(1)["data"]
    assert (data["kind"] in {"invoice", "letter"}, 1 <= data["pages"] <= 9) == (True, True)


@pytest.mark.long("kills an engine and starts it anew: 7 s")
def test_kill_9_of_the_server_leaves_its_engine_without_a_parent(installed: Hearth, tmp_path: Path):
    document = pdfs.written(tmp_path / "page.pdf", "Page")
    assert installed.read(document, "--backend", "ollama", "--model", "chain").code == 0
    server = _server(installed)
    (engine,) = runners(server.pid)
    try:
        server.kill()
        until(lambda: psutil.Process(engine).ppid() != server.pid)
        assert psutil.Process(engine).status() != psutil.STATUS_ZOMBIE
    finally:
        os.kill(engine, signal.SIGKILL)
