"""A machine with servers that end with the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.backends.local.server_state import local_servers, stop_server
from tasks.core.file_locks import take_exclusive
from tests.unit.tasks.leasing.leased_servers import Machine, ends


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    home = tmp_path / "home"
    home.mkdir()
    machine = Machine(home)
    yield machine
    for run in machine.runs:
        run.kill()
        run.communicate()
    for directory in home.glob("servers/*"):
        for state in local_servers(home):
            stop_server(state)
        take_exclusive(directory / "alive.lock").release()
    ends(*machine.starts)
